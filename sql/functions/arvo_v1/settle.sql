-- arvo_v1.settle(results) — finish any number of deliveries, in one transaction.
CREATE OR REPLACE FUNCTION arvo_v1.settle(p_results jsonb)
RETURNS SETOF arvo_v1.settled
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $settle$
-- p_results is an array of objects:
--
--   lease, delivery   as claimed (numbers, or texts of digits)
--   outcome           completed, failed, released, snoozed or rejected
--   events            completed: array of events to emit
--   state             completed: {"subject", "data", "expected_version" and, for a first write,
--                     "parent_subject", "initiator", "source"}
--   error             failed, rejected: {"name", "message", "stack"}
--   after             failed, snoozed: seconds until the next attempt
--   run_time          microseconds that the handler ran
--
-- An item may also name several deliveries of its lease, all completed, without events or state:
--
--   deliveries        array of those deliveries; it stands for as many items in that order
--   run_times         array with a run_time for each, or null; may be left out
--
-- Each delivery gets its own verdict, with the place of its item; a refused one changes nothing and
-- spoils no other. What is plainly completed costs next to nothing (arvo.close_plain), one that is
-- completed by itself a third (arvo.close_one):
--
--   RV001  an emitted event is not valid           RV006  the item is malformed
--   RV007  the queue, or that of an emitted event, is closed to the caller
--   RV101  the state had moved on: the delivery goes back at once, uncharged
--   RV301  the lease is not, or no longer, the caller's
--   RV303  an earlier delivery of its ordered key is still open
--
-- An item settled before under the same lease is answered "already" (not accepted, with code RV101,
-- if it ended in a conflict then). States, emitted events,
-- retries, dead letters and the journal are written together.
--
--   Reads    as arvo.close_one, arvo.close_plain and arvo.settle_rest
--   Writes   as arvo.close_one, arvo.close_plain and arvo.settle_rest
--   Locks    the leases, in order of their tokens; then as arvo.settle_rest
--   Raises   RV005  the transaction is not READ COMMITTED
--            RV006  p_results is not an array, or names more than 10000 deliveries
--            RV902  the stored transaction numbers are of another cluster
DECLARE
    v_parted arvo.parted;
    v_one arvo_v1.settled;
BEGIN
    PERFORM arvo.require_read_committed('settle');
    PERFORM arvo.require_home();
    v_one := arvo.close_one(p_results);
    IF v_one.lease IS NOT NULL THEN
        RETURN NEXT v_one;
        RETURN;
    END IF;
    v_parted := arvo.close_plain(p_results);
    RETURN QUERY SELECT verdict.* FROM arvo.settle_rest(v_parted) AS verdict;
END;
$settle$;

COMMENT ON FUNCTION arvo_v1.settle(jsonb) IS
'Finishes deliveries: journals, writes states, emits events, retries or buries, all in one transaction.';

REVOKE ALL ON FUNCTION arvo_v1.settle(jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.settle(jsonb) TO arvo_worker;
