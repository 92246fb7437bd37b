-- arvo.find_deliveries(filter…, places, limit) — the live deliveries that an operator means.
CREATE OR REPLACE FUNCTION arvo.find_deliveries(
    p_delivery bigint[],
    p_queue text,
    p_event_id text,
    p_event_type text,
    p_subject text,
    p_tree text,
    p_before timestamptz,
    p_path jsonpath,
    p_text text,
    p_places text[],
    p_limit integer,
    p_but integer[] DEFAULT '{}'
)
RETURNS SETOF arvo.finding
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $find_deliveries$
-- Looks without any lock: what it says is to be looked at again under the locks. What is NULL does not
-- filter; at least one must be given. Dead letters come first, what is due later last. By event, subject or tree it looks only at their rows; otherwise
-- it reads what waits, from each lane's cursor on, in order, until it has p_limit: the cost grows with
-- the backlog, not with history. p_before is when the delivery was appended or put off. Dead letters
-- are meant by number, event and tree only. A dead letter that lies in a dead-letter queue is the
-- delivery there. What has been withdrawn is over, and not found. Lanes in p_but are passed over, and
-- what the caller may not operate.
--
--   Reads    arvo.queue, arvo.lane, arvo.lease, arvo.closure, arvo.log, arvo.parked, arvo.deferred,
--            arvo.promotion, arvo.tombstone, arvo.dead, arvo.lineage; as arvo.may
--   Writes   nothing
--   Locks    nothing
--   Raises   RV003  the queue is not known
--            RV006  nothing is given, or limit or path are not valid
DECLARE
    v_queue integer;
    v_subjects text[];
    v_wanted bigint[];
    v_guarded boolean := false;
    v_content boolean := num_nonnulls(
        p_event_id, p_event_type, p_subject, p_tree, p_path, p_text
    ) > 0;
    v_left integer := p_limit;
    v_got integer;
    v_passed arvo.promotion;
    v_lane record;
    v_head arvo.lease;
    v_from_xid xid8;
    v_from_delivery bigint;
BEGIN
    IF p_limit IS NULL OR p_limit NOT BETWEEN 1 AND 10000 THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'limit',
              DETAIL = format('limit: %s', p_limit),
              HINT = 'Use 1 to 10000, and call again for the rest.';
    ELSIF NOT v_content AND num_nonnulls(p_delivery, p_queue, p_before) = 0 THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'delivery',
              DETAIL = 'Nothing says which deliveries are meant.',
              HINT = 'Give numbers of deliveries, an event, a queue, or another filter.';
    END IF;
    PERFORM arvo.require_path(p_path);
    IF EXISTS (SELECT FROM arvo.queue_guard AS guard WHERE guard.may = 'operate') THEN
        p_but := p_but || ARRAY(
            SELECT lane.lane
            FROM arvo.queue
            INNER JOIN arvo.lane ON lane.queue = queue.queue
            WHERE NOT arvo.may(queue.name, 'operate')
        );
        v_guarded := true;
    END IF;
    IF p_queue IS NOT NULL THEN
        v_queue := (arvo.known_queue(p_queue)).queue;
    END IF;
    IF p_tree IS NOT NULL THEN
        SELECT array_agg(DISTINCT kin.subject) INTO v_subjects
        FROM (
            SELECT p_tree AS subject
            UNION ALL
            SELECT relative.subject FROM arvo_v1.lineage(p_tree) AS relative
        ) AS kin
        WHERE p_subject IS NULL OR kin.subject = p_subject;
        v_subjects := coalesce(v_subjects, '{}');
    ELSIF p_subject IS NOT NULL THEN
        v_subjects := ARRAY[p_subject];
    END IF;
    IF p_delivery IS NOT NULL THEN
        v_wanted := p_delivery || ARRAY(
            SELECT dead.dead_letter_delivery
            FROM arvo.dead
            WHERE dead.resolution IS NULL
            AND dead.delivery = ANY (p_delivery)
            AND dead.dead_letter_delivery IS NOT NULL
        );
    END IF;

    IF 'dead' = ANY (p_places) AND num_nonnulls(p_delivery, p_event_id, p_tree) > 0 THEN
        RETURN QUERY
        SELECT
            dead.delivery, 'dead', NULL::integer, NULL::xid8, dead.event_key, NULL::bigint,
            dead.dead, dead.queue, dead.event_id
        FROM arvo.dead
        WHERE dead.resolution IS NULL
        AND dead.dead_letter_delivery IS NULL
        AND (p_queue IS NULL OR dead.queue = p_queue)
        AND (NOT v_guarded OR arvo.may(dead.queue, 'operate'))
        AND (v_wanted IS NULL OR dead.delivery = ANY (v_wanted))
        AND (p_before IS NULL OR dead.died_at < p_before)
        AND (
            v_subjects IS NULL
            OR dead.subject_key = ANY (
                ARRAY(SELECT hashtextextended(named, 0) FROM unnest(v_subjects) AS named)
            )
        )
        AND arvo.is_wanted(dead.event, p_event_id, p_event_type, v_subjects, p_path, p_text)
        ORDER BY dead.dead
        LIMIT v_left;
        GET DIAGNOSTICS v_got = ROW_COUNT;
        v_left := v_left - v_got;
    END IF;

    IF (p_event_id IS NOT NULL OR v_subjects IS NOT NULL) AND p_places && '{queued,parked,leased}' THEN
        RETURN QUERY
        SELECT
            entry.delivery, stands.place, entry.lane, entry.xid, entry.event_key, stands.token,
            NULL::bigint, queue.name, whole.event ->> 'id'
        FROM (
            SELECT log.*
            FROM arvo.log
            WHERE log.event_key = hashtextextended(p_event_id, 0)
            UNION ALL
            SELECT found.*
            FROM unnest(v_subjects) AS named (subject)
            CROSS JOIN LATERAL (
                SELECT log.*
                FROM arvo.log
                WHERE log.subject_key = hashtextextended(named.subject, 0)
            ) AS found
            WHERE p_event_id IS NULL
        ) AS entry
        INNER JOIN arvo.lane ON lane.lane = entry.lane
        INNER JOIN arvo.queue ON queue.queue = lane.queue
        CROSS JOIN LATERAL (
            SELECT judged.place, judged.token
            FROM arvo.standing(entry.lane, entry.xid, entry.delivery) AS judged
            OFFSET 0
        ) AS stands
        CROSS JOIN LATERAL (
            SELECT coalesce(entry.event, (
                SELECT origin.event
                FROM arvo.log AS origin
                WHERE origin.lane = entry.origin_lane
                AND origin.xid = entry.origin_xid
                AND origin.delivery = entry.origin_delivery
            )) AS event
            OFFSET 0
        ) AS whole
        WHERE stands.place = ANY (p_places)
        AND (v_queue IS NULL OR lane.queue = v_queue)
        AND lane.lane <> ALL (p_but)
        AND (v_wanted IS NULL OR entry.delivery = ANY (v_wanted))
        AND (p_before IS NULL OR entry.at < p_before)
        AND arvo.is_wanted(whole.event, p_event_id, p_event_type, v_subjects, p_path, p_text)
        ORDER BY entry.delivery
        LIMIT v_left;
        GET DIAGNOSTICS v_got = ROW_COUNT;
        v_left := v_left - v_got;
    END IF;

    FOR v_lane IN
        SELECT lane.lane, queue.name
        FROM arvo.lane
        INNER JOIN arvo.queue ON queue.queue = lane.queue
        WHERE p_event_id IS NULL
        AND v_subjects IS NULL
        AND p_places && '{queued,parked,leased}'
        AND (v_queue IS NULL OR lane.queue = v_queue)
        AND lane.lane <> ALL (p_but)
        ORDER BY lane.lane
    LOOP
        EXIT WHEN v_left <= 0;
        v_head := arvo.head_of(v_lane.lane);

        IF 'leased' = ANY (p_places) THEN
            RETURN QUERY
            SELECT
                entry.delivery, 'leased', entry.lane, entry.xid, entry.event_key, held.token,
                NULL::bigint, v_lane.name, whole.event ->> 'id'
            FROM arvo.lease AS held
            CROSS JOIN LATERAL unnest(arvo.open_deliveries(held.token, held.deliveries))
                AS open (delivery)
            INNER JOIN arvo.log AS entry
                ON entry.lane = held.lane
                AND entry.xid >= held.low_xid
                AND entry.xid <= held.high_xid
                AND entry.delivery = open.delivery
            CROSS JOIN LATERAL (SELECT arvo.event_of(entry) AS event OFFSET 0) AS whole
            WHERE held.lane = v_lane.lane
            AND held.number >= v_head.open_from
            AND held.token <> 0
            AND NOT EXISTS (
                SELECT
                FROM arvo.lease AS newer
                WHERE newer.token = held.token AND newer.number > held.number
            )
            AND (v_wanted IS NULL OR open.delivery = ANY (v_wanted))
            AND (p_before IS NULL OR entry.at < p_before)
            AND (
                NOT v_content
                OR arvo.is_wanted(
                    whole.event, p_event_id, p_event_type, v_subjects, p_path, p_text
                )
            )
            ORDER BY entry.delivery
            LIMIT v_left;
            GET DIAGNOSTICS v_got = ROW_COUNT;
            v_left := v_left - v_got;
        END IF;

        IF 'parked' = ANY (p_places) THEN
            RETURN QUERY
            SELECT
                entry.delivery, 'parked', entry.lane, entry.xid, entry.event_key, NULL::bigint,
                NULL::bigint, v_lane.name, whole.event ->> 'id'
            FROM arvo.parked
            INNER JOIN arvo.log AS entry
                ON entry.lane = parked.lane
                AND entry.xid = parked.xid
                AND entry.delivery = parked.delivery
            CROSS JOIN LATERAL (SELECT arvo.event_of(entry) AS event OFFSET 0) AS whole
            WHERE parked.queue = (SELECT lane.queue FROM arvo.lane WHERE lane.lane = v_lane.lane)
            AND parked.lane = v_lane.lane
            AND (v_wanted IS NULL OR entry.delivery = ANY (v_wanted))
            AND (p_before IS NULL OR entry.at < p_before)
            AND NOT EXISTS (
                SELECT
                FROM arvo.tombstone
                WHERE tombstone.lane = entry.lane AND tombstone.delivery = entry.delivery
            OFFSET 0  -- a look-up for each row
            )
            AND (
                NOT v_content
                OR arvo.is_wanted(
                    whole.event, p_event_id, p_event_type, v_subjects, p_path, p_text
                )
            )
            ORDER BY entry.delivery
            LIMIT v_left;
            GET DIAGNOSTICS v_got = ROW_COUNT;
            v_left := v_left - v_got;
        END IF;

        CONTINUE WHEN NOT 'queued' = ANY (p_places);
        -- Nothing that is unclaimed stands before the position, but for transactions that were open.
        IF v_head.exhausted OR v_head.last_xid >= pg_snapshot_xmin(v_head.snapshot) THEN
            v_from_xid := pg_snapshot_xmin(v_head.snapshot);
            v_from_delivery := 0;
        ELSE
            v_from_xid := v_head.last_xid;
            v_from_delivery := v_head.last_delivery;
        END IF;
        RETURN QUERY
        SELECT
            entry.delivery, 'queued', entry.lane, entry.xid, entry.event_key, NULL::bigint,
            NULL::bigint, v_lane.name, whole.event ->> 'id'
        FROM arvo.log AS entry
        CROSS JOIN LATERAL (
            SELECT coalesce(entry.event, (
                SELECT origin.event
                FROM arvo.log AS origin
                WHERE origin.lane = entry.origin_lane
                AND origin.xid = entry.origin_xid
                AND origin.delivery = entry.origin_delivery
            )) AS event
        ) AS whole
        WHERE entry.lane = v_lane.lane
        AND (entry.xid, entry.delivery) > (v_from_xid, v_from_delivery)
        AND NOT pg_visible_in_snapshot(entry.xid, v_head.previous_snapshot)
        AND NOT (
            pg_visible_in_snapshot(entry.xid, v_head.snapshot)
            AND (
                v_head.exhausted
                OR (entry.xid, entry.delivery) <= (v_head.last_xid, v_head.last_delivery)
            )
        )
        AND (v_wanted IS NULL OR entry.delivery = ANY (v_wanted))
        AND (p_before IS NULL OR entry.at < p_before)
        AND NOT EXISTS (
            SELECT
            FROM arvo.tombstone
            WHERE tombstone.lane = entry.lane AND tombstone.delivery = entry.delivery
            OFFSET 0  -- a look-up for each row
        )
        AND (
            NOT v_content
            OR arvo.is_wanted(whole.event, p_event_id, p_event_type, v_subjects, p_path, p_text)
        )
        ORDER BY entry.xid, entry.delivery
        LIMIT v_left;
        GET DIAGNOSTICS v_got = ROW_COUNT;
        v_left := v_left - v_got;
    END LOOP;

    IF 'deferred' = ANY (p_places) AND v_left > 0 THEN
        SELECT head.* INTO STRICT v_passed
        FROM arvo.promotion AS head
        ORDER BY head.number DESC
        LIMIT 1;
        RETURN QUERY
        SELECT
            waiting.delivery, 'deferred', waiting.lane, NULL::xid8, waiting.event_key,
            NULL::bigint, NULL::bigint, queue.name, whole.event ->> 'id'
        FROM (
            SELECT found.*
            FROM unnest(v_wanted) AS named (delivery)
            CROSS JOIN LATERAL (
                SELECT deferred.* FROM arvo.deferred WHERE deferred.delivery = named.delivery
            ) AS found
            UNION ALL
            SELECT found.*
            FROM unnest(v_subjects) AS named (subject)
            CROSS JOIN LATERAL (
                SELECT deferred.*
                FROM arvo.deferred
                WHERE deferred.subject_key = hashtextextended(named.subject, 0)
            ) AS found
            WHERE v_wanted IS NULL
            UNION ALL
            SELECT deferred.*
            FROM arvo.deferred
            WHERE v_wanted IS NULL AND v_subjects IS NULL
        ) AS waiting
        INNER JOIN arvo.lane ON lane.lane = waiting.lane
        INNER JOIN arvo.queue ON queue.queue = lane.queue
        CROSS JOIN LATERAL (
            SELECT coalesce(waiting.event, (
                SELECT origin.event
                FROM arvo.log AS origin
                WHERE origin.lane = waiting.origin_lane
                AND origin.xid = waiting.origin_xid
                AND origin.delivery = waiting.origin_delivery
            )) AS event
            OFFSET 0
        ) AS whole
        WHERE NOT (
            (waiting.due, waiting.delivery) <= (v_passed.due, v_passed.delivery)
            AND pg_visible_in_snapshot(waiting.xid, v_passed.snapshot)
        )
        AND (v_queue IS NULL OR lane.queue = v_queue)
        AND lane.lane <> ALL (p_but)
        AND (p_before IS NULL OR waiting.at < p_before)
        AND (p_event_id IS NULL OR waiting.event_key = hashtextextended(p_event_id, 0))
        AND (
            NOT v_content
            OR arvo.is_wanted(
                whole.event, p_event_id, p_event_type, v_subjects, p_path, p_text
            )
        )
        ORDER BY waiting.delivery
        LIMIT v_left;
    END IF;
END;
$find_deliveries$;

COMMENT ON FUNCTION arvo.find_deliveries(
    bigint[], text, text, text, text, text, timestamptz, jsonpath, text, text[], integer,
    integer[]
) IS
'The live deliveries that an operator means, by number, event, tree or filter; looks without locks.';

REVOKE ALL ON FUNCTION arvo.find_deliveries(
    bigint[], text, text, text, text, text, timestamptz, jsonpath, text, text[], integer,
    integer[]
) FROM PUBLIC;
