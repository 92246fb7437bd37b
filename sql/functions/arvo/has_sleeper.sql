-- arvo.has_sleeper(key) — whether another session has registered to be woken.
CREATE OR REPLACE FUNCTION arvo.has_sleeper(p_key integer)
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $has_sleeper$
-- Sleepers hold the lock shared: if it can be had exclusively, there is none, and it is given back at
-- once, before anything can interrupt. Never waits. Another who asks at the same moment is taken for
-- a sleeper, and so is whoever else may hold it: that costs a wake-up for nothing. A session does not
-- see its own registration: it is not asleep.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    (hashtext('arvo_wake'), key): tried, and released in the same expression
--   Raises   nothing
BEGIN
    RETURN (
        CASE
            WHEN pg_try_advisory_lock(hashtext('arvo_wake'), p_key)
                THEN NOT pg_advisory_unlock(hashtext('arvo_wake'), p_key)
            ELSE true
        END
    );
END;
$has_sleeper$;

COMMENT ON FUNCTION arvo.has_sleeper(integer) IS
'Whether another session is registered as asleep under a key of arvo.sleep_keys.';

REVOKE ALL ON FUNCTION arvo.has_sleeper(integer) FROM PUBLIC;
