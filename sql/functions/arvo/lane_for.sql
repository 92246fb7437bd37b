-- arvo.lane_for(queue, priority) — the lane of a queue, made when it is missing.
CREATE OR REPLACE FUNCTION arvo.lane_for(p_queue text, p_priority integer DEFAULT NULL)
RETURNS integer
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $lane_for$
-- A queue that nobody has registered is made unregistered: its events wait there, counted as
-- unroutable, until a handler is registered under that name. p_priority NULL takes the queue's own.
--
--   Reads    arvo.queue, arvo.lane, arvo.clock, arvo.slot; as arvo.is_guarded
--   Writes   arvo.queue, arvo.lane, arvo.lease (the first cursor)
--   Locks    arvo.queue row (only while it is being made); arvo.lane row: of the queue's own
--            priority, while it is being made; of others tried, never waited for
--   Raises   RV002  the text may not name a queue, or the queue has 100 priorities
DECLARE
    v_queue integer;
    v_own integer;
    v_priority integer;
    v_lane integer;
BEGIN
    SELECT queue.queue, queue.priority, coalesce(p_priority, queue.priority)
    INTO v_queue, v_own, v_priority
    FROM arvo.queue
    WHERE queue.name = p_queue;

    IF NOT FOUND THEN
        IF NOT arvo.is_queue_name(p_queue) THEN
            RAISE EXCEPTION 'queue name is not valid'
            USING ERRCODE = 'RV002',
                  COLUMN = 'queue',
                  DETAIL = format('queue: %s', left(to_json(p_queue)::text, 80)),
                  HINT = 'Use 1 to 512 characters of a URI, without quotes.';
        END IF;
        INSERT INTO arvo.queue (name, guarded, created_at, changed_at)
        VALUES (p_queue, arvo.is_guarded(p_queue), arvo.clock(), arvo.clock())
        ON CONFLICT (name) DO NOTHING;
        SELECT queue.queue, queue.priority, coalesce(p_priority, queue.priority)
        INTO STRICT v_queue, v_own, v_priority
        FROM arvo.queue
        WHERE queue.name = p_queue;
        -- Every queue has a lane of its own priority.
        IF v_priority <> v_own THEN
            PERFORM arvo.lane_for(p_queue);
        END IF;
    END IF;

    SELECT lane.lane INTO v_lane
    FROM arvo.lane
    WHERE lane.queue = v_queue AND lane.priority = v_priority AND NOT lane.retired;

    IF NOT FOUND THEN
        -- Every lane costs each claim a look: a queue has a handful of priorities, not a thousand.
        -- Its own priority is always there to be had: else whoever may dispatch could use up a name
        -- before it is registered.
        IF v_priority <> v_own
            AND (
                SELECT count(*)
                FROM arvo.lane
                WHERE lane.queue = v_queue AND lane.priority <> v_own AND NOT lane.retired
            ) >= 99
        THEN
            RAISE EXCEPTION 'queue has too many priorities'
            USING ERRCODE = 'RV002',
                  COLUMN = 'priority',
                  DETAIL = format('queue %s has 100 priorities; %s would be one more', p_queue,
                                  v_priority),
                  HINT = 'Use one of the priorities that the queue has.';
        END IF;
        -- While somebody else is making this very lane, the delivery goes by the queue's own priority:
        -- waiting could close a circle with another new lane, for as long as transactions are open.
        IF v_priority <> v_own AND NOT pg_try_advisory_xact_lock(
            hashtextextended(format('%s/%s', v_queue, v_priority), hashtextextended('arvo', 2))
        ) THEN
            SELECT lane.lane INTO STRICT v_lane
            FROM arvo.lane
            WHERE lane.queue = v_queue AND lane.priority = v_own AND NOT lane.retired;
            RETURN v_lane;
        END IF;
        INSERT INTO arvo.lane (queue, priority)
        VALUES (v_queue, v_priority)
        ON CONFLICT (queue, priority) WHERE NOT retired DO NOTHING
        RETURNING lane.lane INTO v_lane;
        IF FOUND THEN
            INSERT INTO arvo.lease (
                slot, lane, number, token, leased_at, expires_at, deliveries,
                previous_snapshot, snapshot, last_xid, last_delivery, exhausted,
                open_from, sweep_at
            )
            VALUES (
                arvo.slot(), v_lane, 0, 0, arvo.clock(), '-infinity', '{}',
                '1:1:', '1:1:', '0', 0, true,
                1, 'infinity'
            );
        ELSE
            SELECT lane.lane INTO STRICT v_lane
            FROM arvo.lane
            WHERE lane.queue = v_queue AND lane.priority = v_priority AND NOT lane.retired;
        END IF;
    END IF;
    RETURN v_lane;
END;
$lane_for$;

COMMENT ON FUNCTION arvo.lane_for(text, integer) IS
'Number of the lane for a queue and priority; makes queue and lane when they are missing.';

REVOKE ALL ON FUNCTION arvo.lane_for(text, integer) FROM PUBLIC;
