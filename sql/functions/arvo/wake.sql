-- arvo.wake(queues) — tell sleeping workers that there is something to claim.
CREATE OR REPLACE FUNCTION arvo.wake(p_queues text[])
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $wake$
-- One notification per queue and transaction, sent at its commit, and only when somebody has called
-- doze for it: commits that notify queue up behind one lock of the whole server. It is a hint, never a
-- message: workers also poll. Call it after the writes that it is about: a sleeper that registers
-- too late to be seen here finds the transaction among those that it must wait for.
--
--   Reads    nothing
--   Writes   nothing (the notification queue of the server)
--   Locks    as arvo.has_sleeper, which only tries
--   Raises   nothing
BEGIN
    -- As arvo.has_sleeper(0), in a third of its time: this is asked for each event.
    IF (
        CASE
            WHEN pg_try_advisory_lock(hashtext('arvo_wake'), 0)
                THEN pg_advisory_unlock(hashtext('arvo_wake'), 0)
            ELSE false
        END
    ) THEN
        RETURN;
    END IF;
    PERFORM pg_notify('arvo_wake', named.queue)
    FROM (SELECT DISTINCT listed.queue FROM unnest(p_queues) AS listed (queue)) AS named
    WHERE arvo.has_sleeper(hashtext(named.queue))
    OR arvo.has_sleeper(1)
    OR (starts_with(named.queue, 'arvo.') AND arvo.has_sleeper(2));
END;
$wake$;

COMMENT ON FUNCTION arvo.wake(text[]) IS
'Notifies the wake-up channel once per queue that somebody sleeps for.';

REVOKE ALL ON FUNCTION arvo.wake(text[]) FROM PUBLIC;
