-- arvo.turn_event_keys() — begin a new generation of event_key when the newest is a whole window old.
CREATE OR REPLACE FUNCTION arvo.turn_event_keys()
RETURNS integer
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $turn_event_keys$
-- Three partitions: one in use, one that is looked at, one that is emptied and used next. So a key is
-- known for at least one window, the longest deduplicate_for (one hour at least), and at most for
-- three. What is emptied has not been looked at for a window, and nobody writes there: turning waits
-- until every transaction from before the last turn has ended. Emptying and turning are two calls,
-- two transactions, since a sequence does not go back when its transaction does. One that was undone
-- after the turn is made good by the next: without its row dispatches write into both. Returns how
-- many steps were taken.
--
--   Reads    arvo.queue, arvo.event_key_generation, arvo.event_key, arvo.clock
--   Writes   arvo.event_key_number; as arvo.open_event_keys and arvo.empty_event_keys
--   Locks    as arvo.empty_event_keys
--   Raises   nothing
DECLARE
    v_number bigint;
    v_newest arvo.event_key_generation;
    v_next integer;
BEGIN
    SELECT current.last_value INTO v_number FROM arvo.event_key_number AS current;
    SELECT newest.* INTO STRICT v_newest
    FROM arvo.event_key_generation AS newest
    ORDER BY newest.number DESC
    LIMIT 1;
    IF v_newest.number < v_number THEN
        PERFORM arvo.open_event_keys(v_number);
        RETURN 1;
    END IF;
    IF v_newest.opened_at > arvo.clock() - greatest(
            interval '1 hour', (SELECT max(queue.deduplicate_for) FROM arvo.queue)
        )
        OR pg_snapshot_xmin(pg_current_snapshot()) < v_newest.horizon
    THEN
        RETURN 0;
    END IF;
    v_next := ((v_number + 1) % 3)::integer;
    IF EXISTS (SELECT FROM arvo.event_key WHERE event_key.slot = v_next) THEN
        RETURN arvo.empty_event_keys(v_next)::integer;
    END IF;
    -- Nothing was dispatched with a key since: no need to turn.
    IF NOT EXISTS (SELECT FROM arvo.event_key WHERE event_key.slot = v_number % 3) THEN
        RETURN 0;
    END IF;
    PERFORM arvo.open_event_keys(nextval('arvo.event_key_number'::regclass));
    RETURN 1;
END;
$turn_event_keys$;

COMMENT ON FUNCTION arvo.turn_event_keys() IS
'Turns the partitions of event_key when the newest is a whole window old; returns how many steps were taken.';

REVOKE ALL ON FUNCTION arvo.turn_event_keys() FROM PUBLIC;
