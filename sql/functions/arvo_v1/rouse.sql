-- arvo_v1.rouse(queues) — this session is awake again: no need to wake it.
CREATE OR REPLACE FUNCTION arvo_v1.rouse(p_queues text[])
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET client_min_messages = 'error'
AS $rouse$
-- Takes back one doze with the same names; answers whether there was one. The end of a session does so
-- by itself.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    releases what doze has taken
--   Raises   nothing
BEGIN
    RETURN coalesce(bool_and(released.done), false)
    FROM unnest(arvo.sleep_keys(p_queues)) AS registered (key)
    CROSS JOIN LATERAL pg_advisory_unlock_shared(hashtext('arvo_wake'), registered.key)
        AS released (done);
END;
$rouse$;

COMMENT ON FUNCTION arvo_v1.rouse(text[]) IS
'Takes back a call of doze with the same names; whether there was one.';

REVOKE ALL ON FUNCTION arvo_v1.rouse(text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.rouse(text[]) TO arvo_worker;
