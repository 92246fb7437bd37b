-- arvo.caller() — the role that the session acts as.
CREATE OR REPLACE FUNCTION arvo.caller()
RETURNS text
LANGUAGE sql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $caller$
-- What SET ROLE has chosen, else the login role: the one whose privileges a call from outside has.
-- current_user says nothing here, within functions that act as the owner. A function of the caller's
-- that is SECURITY DEFINER does not change it: rights are those of the session, not of that owner.
--
--   Reads    the setting role
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT coalesce(nullif(current_setting('role', true), 'none'), session_user);
$caller$;

COMMENT ON FUNCTION arvo.caller() IS
'The role that the session acts as: that of SET ROLE, else the login role.';

REVOKE ALL ON FUNCTION arvo.caller() FROM PUBLIC;
