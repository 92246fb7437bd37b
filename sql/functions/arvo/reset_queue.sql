-- arvo.reset_queue(queue, registered) — put the options of a queue back to their defaults.
CREATE OR REPLACE FUNCTION arvo.reset_queue(p_queue arvo.queue, p_registered boolean)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $reset_queue$
-- Neither paused nor draining, either. Its name, number and history stay.
--
--   Reads    arvo.clock
--   Writes   arvo.queue, arvo.registration; arvo.lane, when the default priority has none
--   Locks    arvo.queue row; as arvo.lane_for
--   Raises   nothing
DECLARE
    v_after arvo.queue;
BEGIN
    UPDATE arvo.queue
    SET registered = p_registered,
        stateful = DEFAULT,
        priority = DEFAULT,
        retry_limit = DEFAULT,
        retry_delay = DEFAULT,
        retry_backoff = DEFAULT,
        retry_delay_max = DEFAULT,
        expire_in = DEFAULT,
        dead_letter = DEFAULT,
        warning_queue_size = DEFAULT,
        policy = DEFAULT,
        key_from = DEFAULT,
        on_failure = DEFAULT,
        start_after = DEFAULT,
        retention = DEFAULT,
        delete_after = DEFAULT,
        deduplicate_for = DEFAULT,
        singleton_for = DEFAULT,
        singleton_next_slot = DEFAULT,
        max_active = DEFAULT,
        key_max_active = DEFAULT,
        rate_limit = DEFAULT,
        rate_period = DEFAULT,
        key_rate_limit = DEFAULT,
        key_rate_period = DEFAULT,
        max_redrives = DEFAULT,
        error_rules = DEFAULT,
        paused_at = NULL,
        paused_by = NULL,
        drained_to = NULL,
        changed_at = arvo.clock()
    WHERE queue.queue = p_queue.queue
    RETURNING queue.* INTO v_after;
    IF arvo.has_new_rules(p_queue, v_after) THEN
        PERFORM arvo.rebuild_turns(v_after);
    END IF;
    DELETE FROM arvo.registration WHERE registration.queue = p_queue.name;
    PERFORM arvo.lane_for(p_queue.name);
END;
$reset_queue$;

COMMENT ON FUNCTION arvo.reset_queue(arvo.queue, boolean) IS
'Puts the options of a queue back to their defaults, registered or not.';

REVOKE ALL ON FUNCTION arvo.reset_queue(arvo.queue, boolean) FROM PUBLIC;
