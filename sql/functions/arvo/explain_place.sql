-- arvo.explain_place(queue, log row) — what a delivery that nobody has claimed waits behind.
CREATE OR REPLACE FUNCTION arvo.explain_place(p_queue arvo.queue, p_entry arvo.log)
RETURNS SETOF arvo_v1.explanation
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $explain_place$
-- Reasons, details, times and remedies; the caller knows the delivery. It stands in the log, read by
-- a claim and parked, or not. Counts up to 10,000 before it.
--
--   Reads    arvo.parked, arvo.turn, arvo.tombstone, arvo.lane, arvo.lease, arvo.log, arvo.clock; as
--            arvo.count_unread
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
    v_parked arvo.parked;
    v_turn arvo.turn;
    v_key bigint := arvo.key_for(p_queue, p_entry);
    v_most integer;
    v_head arvo.lease;
    v_after arvo.frontier;
    v_before bigint;
    v_priority integer;
    v_higher bigint;
BEGIN
    RETURN QUERY
    SELECT
        NULL::bigint, NULL::text, NULL::text, NULL::text, 'withdrawn',
        format('It was %s by %s; the claim that meets it closes it.', tombstone.reason,
               coalesce(left(to_json(tombstone.by)::text, 80), 'somebody')),
        tombstone.at, NULL::text
    FROM arvo.tombstone
    WHERE tombstone.lane = p_entry.lane AND tombstone.delivery = p_entry.delivery;

    SELECT parked.* INTO v_parked
    FROM arvo.parked
    WHERE parked.delivery = p_entry.delivery
    LIMIT 1;
    IF p_queue.gated OR v_parked.delivery IS NOT NULL THEN
        v_key := coalesce(v_parked.key, v_key);
        SELECT newest.* INTO v_turn
        FROM arvo.turn AS newest
        WHERE newest.queue = p_queue.queue AND newest.key = v_key
        ORDER BY newest.number DESC
        LIMIT 1;
        v_most := least(
            p_queue.key_max_active,
            CASE WHEN p_queue.policy IN ('ordered', 'singleton', 'stately') THEN 1 END
        );
        SELECT count(*) INTO v_before
        FROM (
            SELECT
            FROM arvo.parked
            WHERE parked.queue = p_queue.queue
            AND parked.key = v_key
            AND parked.place < coalesce(v_parked.place, 9223372036854775807)
            LIMIT 10001
        ) AS line;
        IF v_turn.holder IS NOT NULL AND v_turn.holder <> p_entry.delivery THEN
            RETURN NEXT (
                NULL, NULL, NULL, NULL, 'key',
                format('Delivery %s comes before all others of its key: it was given back or put off.',
                       v_turn.holder),
                (
                    SELECT deferred.due
                    FROM arvo.deferred
                    WHERE deferred.delivery = v_turn.holder
                ),
                'Explain that delivery; cancel it, or make it due now.'
            )::arvo_v1.explanation;
        END IF;
        IF v_turn.active >= v_most THEN
            RETURN NEXT (
                NULL, NULL, NULL, NULL,
                CASE WHEN p_queue.policy = 'ordered' THEN 'key' ELSE 'singleton' END,
                format('%s of its key run, and %s may.', v_turn.active, v_most), v_turn.at, NULL
            )::arvo_v1.explanation;
        END IF;
        IF v_before > 0 THEN
            RETURN NEXT (
                NULL, NULL, NULL, NULL, 'key',
                format('%s%s wait before it in the line of its key.',
                       CASE WHEN v_before > 10000 THEN 'More than ' ELSE '' END,
                       least(v_before, 10000)),
                NULL, NULL
            )::arvo_v1.explanation;
        END IF;
        IF p_queue.key_rate_limit IS NOT NULL AND arvo.rate_room(
            v_turn.tally, p_queue.key_rate_limit, p_queue.key_rate_period, v_now
        ) = 0 THEN
            RETURN NEXT (
                NULL, NULL, NULL, NULL, 'rate',
                format('%s of its key have started within %s.', p_queue.key_rate_limit,
                       p_queue.key_rate_period),
                v_now + arvo.rate_wait(v_turn.tally, p_queue.key_rate_period, v_now), NULL
            )::arvo_v1.explanation;
        END IF;
    END IF;
    IF v_parked.delivery IS NOT NULL THEN
        RETURN;
    END IF;

    IF NOT pg_visible_in_snapshot(p_entry.xid, p_queue.drained_to) THEN
        RETURN NEXT (
            NULL, NULL, NULL, NULL, 'draining',
            'The queue is drained: only what was there before is claimed.', NULL,
            'Resume the queue.'
        )::arvo_v1.explanation;
    END IF;

    SELECT head.* INTO STRICT v_head
    FROM arvo.lease AS head
    WHERE head.lane = p_entry.lane
    ORDER BY head.number DESC
    LIMIT 1;
    v_after := arvo.frontier_of(
        v_head.previous_snapshot, v_head.snapshot, v_head.last_xid, v_head.last_delivery,
        v_head.exhausted
    );
    -- Claims read the rest of the window first, then what has come since.
    SELECT count(*) FILTER (
        WHERE (NOT pg_visible_in_snapshot(unread.xid, v_head.snapshot), unread.xid, unread.delivery)
            < (NOT pg_visible_in_snapshot(p_entry.xid, v_head.snapshot), p_entry.xid,
               p_entry.delivery)
    )
    INTO v_before
    FROM (
        SELECT found.xid, found.delivery
        FROM unnest(v_after.late) AS gap (xid)
        CROSS JOIN LATERAL (
            SELECT log.xid, log.delivery
            FROM arvo.log
            WHERE log.lane = p_entry.lane
            AND log.xid = gap.xid
            AND log.delivery
                > CASE WHEN gap.xid = v_after.last_xid THEN v_after.last_delivery ELSE 0 END
            OFFSET 0
        ) AS found
        UNION ALL
        SELECT next.xid, next.delivery
        FROM (
            SELECT log.xid, log.delivery
            FROM arvo.log
            WHERE log.lane = p_entry.lane
            AND (log.xid, log.delivery) > (v_after.from_xid, v_after.from_delivery)
            ORDER BY log.xid, log.delivery
        ) AS next
        LIMIT 10001
    ) AS unread;
    IF v_before > 0 THEN
        RETURN NEXT (
            NULL, NULL, NULL, NULL, 'behind',
            format('%s%s of the same queue and priority come before it.',
                   CASE WHEN v_before > 10000 THEN 'More than ' ELSE '' END,
                   least(v_before, 10000)),
            NULL, NULL
        )::arvo_v1.explanation;
    END IF;

    SELECT lane.priority INTO STRICT v_priority
    FROM arvo.lane
    WHERE lane.lane = p_entry.lane;
    SELECT coalesce(sum((arvo.count_unread(head.lease, 1000)).unread), 0)::bigint INTO v_higher
    FROM arvo.lane
    CROSS JOIN LATERAL (
        SELECT newest AS lease
        FROM arvo.lease AS newest
        WHERE newest.lane = lane.lane
        ORDER BY newest.number DESC
        LIMIT 1
    ) AS head
    WHERE lane.queue = p_queue.queue AND lane.priority > v_priority;
    IF v_higher > 0 THEN
        RETURN NEXT (
            NULL, NULL, NULL, NULL, 'priority',
            format('%s of higher priority wait, counted up to 1000 of each.', v_higher), NULL, NULL
        )::arvo_v1.explanation;
    END IF;
END;
$explain_place$;

COMMENT ON FUNCTION arvo.explain_place(arvo.queue, arvo.log) IS
'What a logged or parked delivery waits behind: its key, limits, others, a drain, a withdrawal.';

REVOKE ALL ON FUNCTION arvo.explain_place(arvo.queue, arvo.log) FROM PUBLIC;
