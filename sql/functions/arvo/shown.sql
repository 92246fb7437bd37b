-- arvo.shown(queue, change) — a queue, as the contract shows it.
CREATE OR REPLACE FUNCTION arvo.shown(p_queue arvo.queue, p_change text)
RETURNS arvo_v1.queue
LANGUAGE sql
IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $shown$
-- p_change says what the call that answers it has done.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT (
    p_queue.name, p_change, p_queue.registered, p_queue.stateful, p_queue.priority,
    p_queue.retry_limit, p_queue.retry_delay, p_queue.retry_backoff, p_queue.retry_delay_max,
    p_queue.expire_in, p_queue.dead_letter, p_queue.warning_queue_size,
    p_queue.policy, p_queue.key_from, p_queue.on_failure, p_queue.start_after, p_queue.retention,
    p_queue.delete_after, p_queue.deduplicate_for, p_queue.singleton_for,
    p_queue.singleton_next_slot, p_queue.max_active, p_queue.key_max_active, p_queue.rate_limit,
    p_queue.rate_period, p_queue.key_rate_limit, p_queue.key_rate_period, p_queue.max_redrives,
    p_queue.error_rules, p_queue.paused_at
)::arvo_v1.queue;
$shown$;

COMMENT ON FUNCTION arvo.shown(arvo.queue, text) IS
'Row of a queue in the form of the contract.';

REVOKE ALL ON FUNCTION arvo.shown(arvo.queue, text) FROM PUBLIC;
