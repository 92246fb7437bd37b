-- arvo_v1.doze(queues) — this session is going to sleep: have it woken.
CREATE OR REPLACE FUNCTION arvo_v1.doze(p_queues text[])
RETURNS SETOF bigint
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '1s'
AS $doze$
-- Call it in a session that listens to arvo_wake, outside of a transaction. From now on, until rouse
-- with the same names or the end of the session, whoever has something for one of these queues sends a
-- notification with its name. A name that ends in * stands for every queue that begins so. Then look
-- once (work): what was committed before is found. Who has looked for sleepers before and commits
-- later is among the transactions that are answered here: look again when some of them have ended
-- (still_open tells), until none is left. Calls count: each needs its rouse. Through a pooler that
-- lends connections by the transaction, nobody is woken.
--
--   Reads    as arvo.open_writers
--   Writes   nothing
--   Locks    (hashtext('arvo_wake'), arvo.sleep_keys), shared, the session's; waits only for one who
--            holds it in earnest, a second at most
--   Raises   RV005  the transaction is not READ COMMITTED
--            55P03  somebody holds such a lock: end the session, what it has taken stays otherwise
BEGIN
    PERFORM arvo.require_read_committed('doze');
    PERFORM pg_advisory_lock_shared(hashtext('arvo_wake'), registered.key)
    FROM unnest(arvo.sleep_keys(p_queues)) AS registered (key);
    RETURN QUERY SELECT open.xid FROM arvo.open_writers() AS open (xid);
END;
$doze$;

COMMENT ON FUNCTION arvo_v1.doze(text[]) IS
'Registers the session as asleep for the named queues; answers the transactions that are open.';

REVOKE ALL ON FUNCTION arvo_v1.doze(text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.doze(text[]) TO arvo_worker;
