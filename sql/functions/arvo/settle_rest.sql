-- arvo.settle_rest(parted) — settle what arvo.close_plain has left, one by one.
CREATE OR REPLACE FUNCTION arvo.settle_rest(p_parted arvo.parted)
RETURNS SETOF arvo_v1.settled
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $settle_rest$
-- The verdicts of all, those that arvo.close_plain has closed included. The caller holds the leases'
-- locks. Rules are in arvo_v1.settle.
--
--   Reads    arvo.lease and arvo.closure by token, arvo.lane, arvo.queue, arvo.queue_guard, arvo.clock,
--            arvo.slot
--   Writes   arvo.closure, arvo.dead; as arvo.put_states, arvo.give_back, arvo.pass_on and arvo.emit
--   Locks    as arvo.put_states; then as arvo.hold_homes; then as arvo.give_back and arvo.emit
--   Raises   as arvo.give_back and arvo.emit
DECLARE
    v_now timestamptz := arvo.clock();
    v_items arvo.result[];
    v_events jsonb[];
    v_at integer;
    v_fault text;
    v_queue arvo.queue;
    v_lane integer;
    v_emitting boolean;
    v_ordered boolean;
    v_writing boolean;
    v_failing boolean;
    v_bound boolean;
BEGIN
    IF p_parted.rest <> '[]' THEN
        SELECT array_agg(item ORDER BY item.ordinal) INTO v_items
        FROM arvo.read_results(p_parted.rest) AS item;
    END IF;
    IF v_items IS NULL THEN
        RETURN QUERY SELECT verdict.* FROM arvo.verdicts(p_parted, v_items) AS verdict;
        RETURN;
    END IF;

    -- A statement of its own: it must see what the last holder of the leases' locks committed.
    v_items := arvo.judge_results(v_items);

    -- Most results are plain: what none of them asks for is left out.
    SELECT
        bool_or(item.verdict IS NULL AND item.events <> '[]'),
        bool_or(item.place IS NOT NULL),
        bool_or(item.verdict IS NULL AND item.state IS NOT NULL),
        bool_or(item.verdict IS NULL AND item.asked <> 'completed')
    INTO v_emitting, v_ordered, v_writing, v_failing
    FROM unnest(v_items) AS item;

    IF v_emitting THEN
        v_events := ARRAY(
            SELECT jsonb_array_elements(item.events)
            FROM unnest(v_items) AS item
            WHERE item.verdict IS NULL
        );
        -- For fewer it takes longer to set up than to look at each.
        IF cardinality(v_events) < 8 OR arvo.let_in(v_events) IS NOT TRUE THEN
            FOR v_at, v_fault IN
                SELECT DISTINCT ON (item.ordinal) item.ordinal, looked.fault
                FROM unnest(v_items) AS item
                CROSS JOIN LATERAL jsonb_array_elements(item.events) WITH ORDINALITY
                    AS emitted (event, ordinal)
                CROSS JOIN LATERAL (SELECT arvo.event_fault(emitted.event) AS fault OFFSET 0) AS looked
                WHERE item.verdict IS NULL AND looked.fault IS NOT NULL
                ORDER BY item.ordinal, emitted.ordinal
            LOOP
                v_items[v_at].verdict := 'refused';
                v_items[v_at].code := 'RV001';
                v_items[v_at].detail := 'emitted event: ' || v_fault;
            END LOOP;
        END IF;
    END IF;

    IF EXISTS (
        SELECT FROM arvo.queue_guard AS guard WHERE guard.may IN ('dispatch', 'consume')
    ) THEN
        v_items := arvo.bar_results(v_items);
    END IF;

    IF v_ordered THEN
        v_items := arvo.order_results(v_items);
    END IF;

    IF v_writing THEN
        v_items := arvo.put_states(v_items);
    END IF;

    v_bound := arvo.hold_homes(v_items);

    IF v_failing
        OR (v_writing AND (cardinality(v_items) > 1 OR v_items[1].verdict = 'conflict'))
    THEN
        FOR v_at IN
            SELECT item.ordinal
            FROM unnest(v_items) AS item
            WHERE (item.verdict IS NULL AND item.asked <> 'completed') OR item.verdict = 'conflict'
            ORDER BY item.ordinal
        LOOP
            IF v_lane IS DISTINCT FROM v_items[v_at].lane THEN
                v_lane := v_items[v_at].lane;
                SELECT queue.* INTO STRICT v_queue
                FROM arvo.lane
                INNER JOIN arvo.queue ON queue.queue = lane.queue
                WHERE lane.lane = v_lane;
            END IF;
            v_items[v_at] := arvo.give_back(v_items[v_at], v_queue);
        END LOOP;
    END IF;

    INSERT INTO arvo.closure (slot, token, at, deliveries, outcomes, run_times)
    SELECT
        arvo.slot(),
        item.lease,
        v_now,
        array_agg(item.delivery ORDER BY item.ordinal),
        CASE
            WHEN count(DISTINCT coalesce(item.verdict, 'completed')) = 1
                THEN ARRAY[min(coalesce(item.verdict, 'completed'))]
            ELSE array_agg(coalesce(item.verdict, 'completed') ORDER BY item.ordinal)
        END,
        array_agg(item.run_time ORDER BY item.ordinal)
    FROM unnest(v_items) AS item
    WHERE item.verdict IS NULL OR item.verdict NOT IN ('refused', 'already')
    GROUP BY item.lease;

    IF v_bound THEN
        PERFORM arvo.pass_on(v_items);
    END IF;

    UPDATE arvo.dead
    SET resolution = 'consumed', resolved_at = v_now, resolved_by = session_user
    FROM unnest(v_items) AS item
    WHERE item.verdict IS NULL
    AND dead.dead_letter_lane = item.lane
    AND dead.dead_letter_delivery = item.delivery
    AND dead.resolution IS NULL;

    IF v_emitting THEN
        SELECT array_agg(emitted.event ORDER BY item.ordinal, emitted.ordinal) INTO v_events
        FROM unnest(v_items) AS item
        CROSS JOIN LATERAL
            jsonb_array_elements(item.events) WITH ORDINALITY AS emitted (event, ordinal)
        WHERE item.verdict IS NULL;
        IF v_events IS NOT NULL THEN
            PERFORM arvo.emit(v_events);
        END IF;
    END IF;

    RETURN QUERY SELECT verdict.* FROM arvo.verdicts(p_parted, v_items) AS verdict;
END;
$settle_rest$;

COMMENT ON FUNCTION arvo.settle_rest(arvo.parted) IS
'Settles the results that are not plainly completed, and gives the verdicts of all.';

REVOKE ALL ON FUNCTION arvo.settle_rest(arvo.parted) FROM PUBLIC;
