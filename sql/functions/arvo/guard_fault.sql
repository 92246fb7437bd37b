-- arvo.guard_fault(queue, role, rights) — what is wrong with the arguments of a grant.
CREATE OR REPLACE FUNCTION arvo.guard_fault(p_queue text, p_role text, p_rights text[])
RETURNS text
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $guard_fault$
-- 'argument: rule', the argument first; NULL when nothing is wrong.
--
--   Reads    pg_roles
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
BEGIN
    RETURN CASE
        WHEN p_queue IS NULL OR (
            p_queue <> '*' AND NOT arvo.is_queue_name(regexp_replace(p_queue, '\*$', ''))
        ) THEN 'queue: name a queue, or a beginning with a star'
        WHEN p_role IS NULL OR (
            p_role <> 'public' AND NOT EXISTS (SELECT FROM pg_roles WHERE pg_roles.rolname::text = p_role)
        ) THEN 'role: name a role of this server, or public'
        WHEN p_rights IS NULL OR cardinality(p_rights) = 0
            OR NOT p_rights <@ '{dispatch,consume,operate,read}'
            THEN 'may: use dispatch, consume, operate and read'
    END;
END;
$guard_fault$;

COMMENT ON FUNCTION arvo.guard_fault(text, text, text[]) IS
'What is wrong with the arguments of a grant; NULL for nothing.';

REVOKE ALL ON FUNCTION arvo.guard_fault(text, text, text[]) FROM PUBLIC;
