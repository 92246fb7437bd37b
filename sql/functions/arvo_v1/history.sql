-- arvo_v1.history(queue, after, limit, since, before) — every delivery that is kept, page by page.
CREATE OR REPLACE FUNCTION arvo_v1.history(
    p_queue text DEFAULT NULL,
    p_after text DEFAULT NULL,
    p_limit integer DEFAULT 100,
    p_since timestamptz DEFAULT NULL,
    p_before timestamptz DEFAULT NULL
)
RETURNS SETOF arvo_v1.history_entry
LANGUAGE plpgsql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_sort = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $history$
-- The log as it is, lane by lane, in each in the order of transactions: an index is read from where
-- the page before ended, so a page costs as much as its rows, at any depth, and what finding the lease
-- of each takes (arvo.lease_of). Sorting is off because a plan made on an empty log would sort a whole
-- lane. p_since and p_before are about the time of acceptance, which no index knows: what they leave
-- out is read all the same. What is due later is not in the log yet. A transaction that commits
-- meanwhile may be passed over. After a rebase what was live then stands in two lanes: the number of
-- the delivery tells. Events are shown whole: queues that the caller may not operate are passed over.
--
--   Reads    arvo.lane, arvo.queue, arvo.log by (lane, xid, delivery), arvo.closure, arvo.tombstone,
--            arvo.parked, arvo.queue_guard; as arvo.lease_of and arvo.may
--   Writes   nothing
--   Locks    nothing
--   Raises   RV003  the queue is not known
--            RV006  limit or after is not valid
--            RV007  the queue that is named is closed to the caller
DECLARE
    v_guarded boolean := EXISTS (
        SELECT FROM arvo.queue_guard AS guard WHERE guard.may = 'operate'
    );
    v_queue integer;
    v_from_lane integer := 0;
    v_from_xid xid8;
    v_from_delivery bigint;
    v_left integer := p_limit;
    v_got integer;
    v_lane record;
BEGIN
    IF p_limit IS NULL OR p_limit NOT BETWEEN 1 AND 10000 THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'limit',
              DETAIL = format('limit: %s', coalesce(p_limit::text, 'null')),
              HINT = 'Use 1 to 10000, and go on with the last position as p_after.';
    ELSIF p_after !~ '^[0-9]{1,9}/[0-9]{1,18}/[0-9]{1,18}$' THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'after',
              DETAIL = format('after: %s', left(to_json(p_after)::text, 80)),
              HINT = 'Give the position of the last row of the page before.';
    END IF;
    IF p_queue IS NOT NULL THEN
        v_queue := (arvo.known_queue(p_queue)).queue;
        PERFORM arvo.require_right(ARRAY[p_queue], 'operate');
    END IF;
    IF p_after IS NOT NULL THEN
        v_from_lane := split_part(p_after, '/', 1)::integer;
        v_from_xid := split_part(p_after, '/', 2)::xid8;
        v_from_delivery := split_part(p_after, '/', 3)::bigint;
    END IF;

    FOR v_lane IN
        SELECT
            lane.lane,
            queue.name,
            queue.registered,
            queue.paused_at,
            queue.drained_to
        FROM arvo.lane
        INNER JOIN arvo.queue ON queue.queue = lane.queue
        WHERE lane.lane >= v_from_lane
        AND (v_queue IS NULL OR lane.queue = v_queue)
        AND (NOT v_guarded OR arvo.may(queue.name, 'operate'))
        ORDER BY lane.lane
    LOOP
        IF v_lane.lane > v_from_lane THEN
            v_from_xid := NULL;
        END IF;
        RETURN QUERY
        WITH entry AS MATERIALIZED (
            SELECT found.*
            FROM arvo.log AS found
            WHERE found.lane = v_lane.lane
            AND (found.xid, found.delivery) > (
                coalesce(v_from_xid, '0'::xid8), coalesce(v_from_delivery, 0)
            )
            AND (p_since IS NULL OR found.at >= p_since)
            AND (p_before IS NULL OR found.at < p_before)
            ORDER BY found.xid, found.delivery
            LIMIT v_left
        )

        SELECT
            format('%s/%s/%s', entry.lane, entry.xid, entry.delivery),
            entry.delivery,
            v_lane.name,
            entry.attempt,
            CASE
                WHEN closed.outcome IS NOT NULL THEN closed.outcome
                WHEN held.token IS NOT NULL THEN 'active'
                WHEN withdrawn.delivery IS NOT NULL THEN withdrawn.reason
                WHEN parked.delivery IS NOT NULL THEN 'waiting'
                WHEN NOT v_lane.registered AND entry.cause ->> 'outcome' IS DISTINCT FROM 'dead' THEN
                    CASE
                        WHEN starts_with(v_lane.name, 'arvo.domain.') THEN 'domained'
                        ELSE 'unroutable'
                    END
                WHEN v_lane.paused_at IS NOT NULL THEN 'paused'
                WHEN NOT pg_visible_in_snapshot(entry.xid, v_lane.drained_to) THEN 'draining'
                ELSE 'queued'
            END,
            entry.at,
            held.leased_at,
            closed.at,
            make_interval(secs => closed.run_time / 1000000.0),
            held.worker,
            coalesce(entry.event, (
                SELECT origin.event
                FROM arvo.log AS origin
                WHERE origin.lane = entry.origin_lane
                AND origin.xid = entry.origin_xid
                AND origin.delivery = entry.origin_delivery
            )),
            entry.cause
        FROM entry
        LEFT JOIN LATERAL (
            SELECT claimed.*
            FROM arvo.lease_of(entry.lane, entry.xid, entry.delivery) AS claimed
        ) AS held ON true
        LEFT JOIN LATERAL (
            SELECT
                closure.at,
                closure.outcomes[least(gone.ordinal, cardinality(closure.outcomes))] AS outcome,
                closure.run_times[gone.ordinal] AS run_time
            FROM arvo.closure
            CROSS JOIN LATERAL
                unnest(closure.deliveries) WITH ORDINALITY AS gone (delivery, ordinal)
            WHERE closure.token = held.token AND gone.delivery = entry.delivery
            LIMIT 1
        ) AS closed ON true
        LEFT JOIN arvo.tombstone AS withdrawn
            ON withdrawn.lane = entry.lane AND withdrawn.delivery = entry.delivery
        LEFT JOIN arvo.parked ON parked.delivery = entry.delivery
        ORDER BY entry.xid, entry.delivery;
        GET DIAGNOSTICS v_got = ROW_COUNT;
        v_left := v_left - v_got;
        EXIT WHEN v_left <= 0;
    END LOOP;
END;
$history$;

COMMENT ON FUNCTION arvo_v1.history(text, text, integer, timestamptz, timestamptz) IS
'Every delivery of the log that is kept: event, queue, attempt, outcome, times; page by page.';

REVOKE ALL ON FUNCTION
arvo_v1.history(text, text, integer, timestamptz, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
arvo_v1.history(text, text, integer, timestamptz, timestamptz) TO arvo_operator;
