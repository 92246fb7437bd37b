-- arvo.retire_unclaimed(limit) — make dead letters of what nobody claimed within its queue's retention.
CREATE OR REPLACE FUNCTION arvo.retire_unclaimed(p_limit integer)
RETURNS integer
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $retire_unclaimed$
-- Of every queue, registered or not, paused or not. A lane's deliveries are read as a claim reads
-- them, and leased to nobody: those at its head that are too old are closed under that lease. One
-- that stands behind a younger one has its turn when that is gone. A deferred delivery is appended to
-- the log when it is due, and counts from then. Returns how many dead letters were made.
--
--   Reads    arvo.queue, arvo.lane, arvo.lease by (lane, number), arvo.clock; as
--            arvo.first_unclaimed and arvo.read_window
--   Writes   as arvo.heal and arvo.retire
--   Locks    each such lane, after the home lane of a gated queue: tried, never waited
--            for; as arvo.sweep and arvo.retire
--   Raises   RV902  as arvo.read_window
DECLARE
    v_now timestamptz := arvo.clock();
    v_lane record;
    v_queue arvo.queue;
    v_head arvo.lease;
    v_reading arvo.reading;
    v_count integer;
    v_left integer := p_limit;
    v_dead integer := 0;
BEGIN
    FOR v_lane IN
        SELECT
            lane.lane,
            CASE WHEN queue.gated THEN arvo.home_lane(queue.queue) ELSE lane.lane END AS home,
            queue.queue
        FROM arvo.lane
        INNER JOIN arvo.queue ON queue.queue = lane.queue
        CROSS JOIN LATERAL (
            SELECT lease AS head
            FROM arvo.lease
            WHERE lease.lane = lane.lane
            ORDER BY lease.number DESC
            LIMIT 1
        ) AS newest
        CROSS JOIN LATERAL arvo.first_unclaimed(newest.head) AS entry
        WHERE entry.at <= v_now - queue.retention AND NOT lane.retired
        ORDER BY entry.at, lane.lane
        LIMIT 32
    LOOP
        EXIT WHEN v_left <= 0;
        CONTINUE WHEN NOT pg_try_advisory_xact_lock(hashtext('arvo'), v_lane.home);
        CONTINUE WHEN NOT pg_try_advisory_xact_lock(hashtext('arvo'), v_lane.lane);
        SELECT queue.* INTO STRICT v_queue
        FROM arvo.queue
        WHERE queue.queue = v_lane.queue;
        v_head := arvo.heal(arvo.head_of(v_lane.lane));
        v_reading := arvo.read_window(v_head, v_left);
        -- How many at its head are too old; unnest keeps the order.
        SELECT coalesce(min(entry.ordinal)::integer - 1, cardinality(v_reading.batch))
        INTO v_count
        FROM (
            SELECT taken.at, row_number() OVER () AS ordinal
            FROM unnest(v_reading.batch) AS taken
        ) AS entry
        WHERE entry.at > v_now - v_queue.retention;
        CONTINUE WHEN v_count = 0;
        IF v_count < cardinality(v_reading.batch) THEN
            v_reading.batch := v_reading.batch[1:v_count];
            v_reading.last_xid := v_reading.batch[v_count].xid;
            v_reading.last_delivery := v_reading.batch[v_count].delivery;
            v_reading.exhausted := false;
        END IF;
        v_dead := v_dead
            + arvo.retire(v_queue, arvo.moved(v_head, v_reading), v_reading.batch, false);
        v_left := v_left - v_count;
    END LOOP;
    RETURN v_dead;
END;
$retire_unclaimed$;

COMMENT ON FUNCTION arvo.retire_unclaimed(integer) IS
'Makes dead letters of deliveries that nobody claimed within their queue''s retention; returns how many.';

REVOKE ALL ON FUNCTION arvo.retire_unclaimed(integer) FROM PUBLIC;
