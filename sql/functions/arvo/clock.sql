-- arvo.clock() — the time that every decision of the engine is made by.
CREATE OR REPLACE FUNCTION arvo.clock()
RETURNS timestamptz
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $clock$
-- The server's clock. A session of the owner (a test) may freeze it:
--     SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
-- For anybody else that setting has no effect: no client's clock decides anything.
--
--   Reads    clock_timestamp, the setting arvo.frozen_clock
--   Writes   nothing
--   Locks    nothing
--   Raises   22007  the frozen clock is not a time (owner only)
BEGIN
    IF nullif(current_setting('arvo.frozen_clock', true), '') IS NULL
        OR NOT pg_has_role(session_user, current_user, 'MEMBER')
    THEN
        RETURN clock_timestamp();
    END IF;
    RETURN current_setting('arvo.frozen_clock', true)::timestamptz;
END;
$clock$;

COMMENT ON FUNCTION arvo.clock() IS
'The server''s time, which the owner may freeze for a test; the only clock that decides anything.';

REVOKE ALL ON FUNCTION arvo.clock() FROM PUBLIC;
