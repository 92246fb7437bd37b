-- arvo.wake(queues) — tell sleeping workers that there is something to claim.
CREATE OR REPLACE FUNCTION arvo.wake(p_queues text[])
RETURNS void
LANGUAGE sql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $wake$
-- One notification per queue and transaction, sent at its commit. It is a hint, never a message:
-- workers also poll.
--
--   Reads    nothing
--   Writes   nothing (the notification queue of the server)
--   Locks    nothing
--   Raises   nothing
SELECT pg_notify('arvo_wake', named.queue)
FROM (SELECT DISTINCT listed.queue FROM unnest(p_queues) AS listed (queue)) AS named;
$wake$;

COMMENT ON FUNCTION arvo.wake(text[]) IS
'Notifies the wake-up channel once per queue.';

REVOKE ALL ON FUNCTION arvo.wake(text[]) FROM PUBLIC;
