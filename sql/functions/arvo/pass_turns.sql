-- arvo.pass_turns(queue, items) — deliveries of a gated queue have been closed: who is next.
CREATE OR REPLACE FUNCTION arvo.pass_turns(p_queue arvo.queue, p_items arvo.result[])
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $pass_turns$
-- p_items were closed: completed (verdict NULL), dead, cancelled, or given back (retried, released,
-- snoozed, conflict; then next is the further delivery). Each frees its key. In an ordered queue one
-- that did not complete ends the run of its key: the rest of the run goes back to its places, and a
-- further delivery becomes the holder, so that nobody passes it. Where on_failure is step_aside, a
-- retry goes to the end instead.
--
--   Reads    arvo.turn by (queue, key, number), arvo.lease and arvo.closure by token, arvo.log by
--            (lane, xid, delivery), arvo.clock, arvo.slot
--   Writes   arvo.turn, arvo.closure, arvo.parked; as arvo.put_turns and arvo.wake
--   Locks    nothing; the caller holds the leases, and the queue's home lane
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
    v_key record;
    v_turn arvo.turn;
    v_turns arvo.turn[] := '{}'::arvo.turn[];
    v_lease arvo.lease;
    v_back arvo.result;
    v_rest bigint[];
    v_freed integer := 0;
    v_full boolean;
BEGIN
    -- One that completed, of a key that nobody waits for.
    IF cardinality(p_items) = 1 AND p_items[1].verdict IS NULL THEN
        UPDATE arvo.turn
        SET number = nextval('arvo.turn_number'::regclass),
            active = greatest(turn.active - 1, 0),
            at = v_now
        WHERE turn.ctid = (
            SELECT state.ctid
            FROM arvo.turn AS state
            WHERE state.queue = p_queue.queue AND state.key = p_items[1].key
            ORDER BY state.number DESC
            LIMIT 1
        )
        AND turn.waiting = 0;
        IF FOUND THEN
            UPDATE arvo.turn
            SET number = nextval('arvo.turn_number'::regclass),
                active = greatest(turn.active - 1, 0),
                at = v_now
            WHERE turn.ctid = (
                SELECT whole.ctid
                FROM arvo.turn AS whole
                WHERE whole.queue = p_queue.queue AND whole.key = 0
                ORDER BY whole.number DESC
                LIMIT 1
            )
            RETURNING turn.active + 1 >= p_queue.max_active INTO v_full;
            IF v_full THEN
                PERFORM arvo.wake(ARRAY[p_queue.name]);
            END IF;
            RETURN;
        END IF;
    END IF;

    -- Usually nothing comes back, and keys that nobody waits for are free: all of them at once.
    IF NOT EXISTS (
        SELECT
        FROM unnest(p_items) AS item
        WHERE item.place IS NOT NULL
        AND item.verdict IN ('retried', 'dead', 'released', 'snoozed', 'conflict')
    ) THEN
        WITH given AS MATERIALIZED (
            SELECT grouped.closed, newest.*
            FROM (
                SELECT item.key, count(*)::integer AS closed
                FROM unnest(p_items) AS item
                WHERE item.key IS NOT NULL
                GROUP BY item.key
                UNION ALL
                SELECT 0, cardinality(p_items)
            ) AS grouped
            CROSS JOIN LATERAL (
                SELECT state.*, state.ctid AS address
                FROM arvo.turn AS state
                WHERE state.queue = p_queue.queue AND state.key = grouped.key
                ORDER BY state.number DESC
                LIMIT 1
            ) AS newest
        ),

        replaced AS (
            UPDATE arvo.turn
            SET number = nextval('arvo.turn_number'::regclass),
                active = greatest(turn.active - given.closed, 0),
                at = v_now
            FROM given
            WHERE turn.ctid = given.address AND given.waiting = 0
        )

        SELECT
            array_agg(
                (
                    given.queue, given.key, given.number,
                    greatest(given.active - given.closed, 0), given.waiting,
                    given.upto, given.holder, given.ready, given.tally,
                    given.at
                )::arvo.turn
                ORDER BY given.key
            ) FILTER (WHERE given.waiting > 0),
            bool_or(given.key = 0 AND given.active >= p_queue.max_active)
        INTO v_turns, v_full
        FROM given;
        IF v_turns IS NOT NULL THEN
            PERFORM arvo.put_turns(p_queue, v_turns);
        END IF;
        IF v_full THEN
            PERFORM arvo.wake(ARRAY[p_queue.name]);
        END IF;
        RETURN;
    END IF;

    FOR v_key IN
        SELECT
            grouped.*,
            newest.turn,
            row_number() OVER (PARTITION BY grouped.key ORDER BY grouped.lease) > 1 AS again
        FROM (
            SELECT
                item.key,
                item.lease,
                count(*)::integer AS closed,
                (
                    array_agg(item.ordinal ORDER BY item.place) FILTER (
                        WHERE item.place IS NOT NULL
                        AND item.verdict IN ('retried', 'dead', 'released', 'snoozed', 'conflict')
                    )
                )[1] AS back
            FROM unnest(p_items) AS item
            WHERE item.key IS NOT NULL
            GROUP BY item.key, item.lease
        ) AS grouped
        LEFT JOIN LATERAL (
            SELECT state AS turn
            FROM arvo.turn AS state
            WHERE state.queue = p_queue.queue AND state.key = grouped.key
            ORDER BY state.number DESC
            LIMIT 1
        ) AS newest ON true
        ORDER BY grouped.key, grouped.lease
    LOOP
        -- A key is met twice when deliveries of two leases were closed: the first time is written by then.
        IF v_key.again THEN
            PERFORM arvo.put_turns(p_queue, v_turns);
            v_turns := '{}'::arvo.turn[];
            v_turn := arvo.turn_of(p_queue.queue, v_key.key);
        ELSE
            v_turn := coalesce(v_key.turn, arvo.turn_of(p_queue.queue, v_key.key));
        END IF;
        v_freed := v_freed + v_key.closed;
        v_turn.active := greatest(v_turn.active - v_key.closed, 0);
        IF v_key.back IS NOT NULL THEN
            SELECT item.* INTO STRICT v_back
            FROM unnest(p_items) AS item
            WHERE item.ordinal = v_key.back AND item.lease = v_key.lease;
            SELECT newest.* INTO STRICT v_lease
            FROM arvo.lease AS newest
            WHERE newest.token = v_key.lease
            ORDER BY newest.number DESC
            LIMIT 1;
            SELECT array_agg(open.delivery ORDER BY leased.ordinal) INTO v_rest
            FROM unnest(v_lease.deliveries) WITH ORDINALITY AS leased (delivery, ordinal)
            INNER JOIN unnest(arvo.open_deliveries(v_lease.token, v_lease.deliveries))
                AS open (delivery) ON open.delivery = leased.delivery
            WHERE v_lease.keys[leased.ordinal] = v_key.key
            AND v_lease.places[leased.ordinal] > v_back.place;
            IF v_rest IS NOT NULL THEN
                INSERT INTO arvo.closure (slot, token, at, deliveries, outcomes, run_times)
                VALUES (
                    arvo.slot(), v_lease.token, arvo.clock(), v_rest, '{released}',
                    array_fill(NULL::integer, ARRAY[cardinality(v_rest)])
                );
                INSERT INTO arvo.parked (queue, key, place, delivery, lane, xid, at)
                SELECT
                    p_queue.queue, v_key.key, v_lease.places[leased.ordinal], leased.delivery,
                    entry.lane, entry.xid, entry.at
                FROM unnest(v_lease.deliveries) WITH ORDINALITY AS leased (delivery, ordinal)
                CROSS JOIN LATERAL (
                    SELECT log.lane, log.xid, log.at
                    FROM arvo.log
                    WHERE log.lane = v_lease.lane
                    AND log.xid >= v_lease.low_xid
                    AND log.xid <= v_lease.high_xid
                    AND log.delivery = leased.delivery
                    LIMIT 1
                ) AS entry
                WHERE leased.delivery = ANY (v_rest);
                v_turn.active := greatest(v_turn.active - cardinality(v_rest), 0);
                v_turn.waiting := v_turn.waiting + cardinality(v_rest);
                v_freed := v_freed + cardinality(v_rest);
            END IF;
            v_turn.upto := least(v_turn.upto, v_back.place);
            IF v_back.next IS NOT NULL
                AND (v_back.verdict <> 'retried' OR p_queue.on_failure = 'block')
            THEN
                v_turn.holder := v_back.next;
            END IF;
        END IF;
        v_turns := v_turns || v_turn;
    END LOOP;

    -- The queue as a whole; also for what was leased before it had keys.
    v_turn := arvo.turn_of(p_queue.queue, 0);
    v_freed := v_freed + (
        SELECT count(*)::integer FROM unnest(p_items) AS item WHERE item.key IS NULL
    );
    v_full := v_turn.active >= p_queue.max_active;
    v_turn.active := greatest(v_turn.active - v_freed, 0);
    PERFORM arvo.put_turns(p_queue, v_turns || v_turn);
    IF v_full THEN
        PERFORM arvo.wake(ARRAY[p_queue.name]);
    END IF;
END;
$pass_turns$;

COMMENT ON FUNCTION arvo.pass_turns(arvo.queue, arvo.result[]) IS
'Frees the keys of closed deliveries, and puts the rest of a failed run back in line.';

REVOKE ALL ON FUNCTION arvo.pass_turns(arvo.queue, arvo.result[]) FROM PUBLIC;
