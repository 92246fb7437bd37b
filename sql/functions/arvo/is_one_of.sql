-- arvo.is_one_of(roles) — whether the caller has the privileges of one of some roles.
CREATE OR REPLACE FUNCTION arvo.is_one_of(p_roles text[])
RETURNS boolean
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $is_one_of$
-- Superusers and members of the owner are every role: they could change the tables by hand. A role that the caller would have to choose by SET ROLE first is not
-- meant. Names that are no roles, or not any more, are passed over; public is everybody.
--
--   Reads    pg_roles, pg_namespace
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT 'public' = ANY (p_roles) OR EXISTS (
    SELECT
    FROM pg_roles AS granted
    WHERE granted.rolname = ANY (p_roles::name[])
    AND pg_has_role(arvo.caller()::name, granted.oid, 'USAGE')
) OR EXISTS (
    SELECT
    FROM pg_roles AS known
    WHERE known.rolname = arvo.caller()::name
    AND (
        known.rolsuper
        OR EXISTS (
            SELECT
            FROM pg_namespace AS house
            WHERE house.nspname = 'arvo' AND pg_has_role(known.oid, house.nspowner, 'USAGE')
        )
    )
);
$is_one_of$;

COMMENT ON FUNCTION arvo.is_one_of(text[]) IS
'Whether the caller is a member of one of some roles, or a superuser.';

REVOKE ALL ON FUNCTION arvo.is_one_of(text[]) FROM PUBLIC;
