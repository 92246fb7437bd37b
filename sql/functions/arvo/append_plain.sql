-- arvo.append_plain(events, ignore_domain, emitted) — accept many plain events, or leave them to arvo.append.
CREATE OR REPLACE FUNCTION arvo.append_plain(
    p_events jsonb[],
    p_ignore_domain boolean DEFAULT false,
    p_emitted boolean DEFAULT false
)
RETURNS SETOF arvo_v1.dispatched
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $append_plain$
-- What arvo.append does, in a part of its time, for events without options that all go to registered
-- queues, sixteen at most, that neither defer nor limit what comes in. No row at all: it is left to
-- arvo.append, and nothing has been written. Queues are looked up once each, and the events are read
-- twice only: for what is to be known of them, and to be stored. The keys are those of
-- arvo.dedup_key, which as an expression takes a third of the time.
--
-- The rows themselves hold the keys. As a rule every key is new: many events are simply inserted, in a
-- subtransaction that is undone when one is known after all, for ON CONFLICT looks each up first and
-- writes 48 bytes more for it. Of few, or then, those that did not get in are left to arvo.note_keys.
-- In order of the keys, so that two who bring the same events wait for each other in one direction.
--
--   Reads    arvo.queue, arvo.lane, arvo.clock, arvo.slot; as arvo.key_span and arvo.known_keys
--   Writes   arvo.log; as arvo.note_keys
--   Locks    keys in arvo.log, by event_key and dedup_key; as arvo.note_keys
--   Raises   40001  under REPEATABLE READ: somebody dispatched the same event meanwhile
--            RV902  as arvo.require_home
DECLARE
    v_now timestamptz := arvo.clock();
    v_time jsonb := jsonb_build_object('time', to_char(
        v_now AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"+00:00"'
    ));
    v_slot integer := arvo.slot()::integer;
    v_ids text[];
    v_domained boolean[];
    v_names text[];
    v_sources text[];
    v_digests text[];
    v_keys bigint[];
    v_targets text[];
    v_queues integer[];
    v_lanes integer[];
    v_key_from text[];
    v_windows interval[];
    v_at integer[];
    v_span arvo.key_span;
    v_former integer;
    v_deliveries bigint[];
    v_first bigint[];
    v_asked integer[];
    v_known bigint[];
    v_rest integer[];
    v_done boolean := false;
BEGIN
    PERFORM arvo.require_home();
    SELECT
        array_agg(told.id),
        array_agg(told.domain IS NOT NULL),
        array_agg(coalesce('arvo.domain.' || told.domain, told.name)),
        array_agg(told.source),
        array_agg(told.digest)
    INTO v_ids, v_domained, v_names, v_sources, v_digests
    FROM (
        SELECT
            item.event ->> 'id' AS id,
            CASE WHEN NOT p_ignore_domain THEN item.event ->> 'domain' END AS domain,
            coalesce(item.event ->> 'to', item.event ->> 'type') AS name,
            item.event ->> 'source' AS source,
            encode(
                sha256(convert_to(
                    concat(
                        length(item.event ->> 'source'), ':', item.event ->> 'source',
                        item.event ->> 'id'
                    ),
                    'UTF8'
                )),
                'hex'
            ) AS digest
        FROM unnest(p_events) WITH ORDINALITY AS item (event, ordinal)
        ORDER BY item.ordinal
    ) AS told;
    v_targets := ARRAY(
        SELECT DISTINCT named.name FROM unnest(v_names) AS named (name) ORDER BY named.name
    );
    IF cardinality(v_targets) NOT BETWEEN 1 AND 16 OR 'arvo.publish' = ANY (v_targets) THEN
        RETURN;
    END IF;
    SELECT
        array_agg(queue.queue ORDER BY target.ordinal),
        array_agg(lane.lane ORDER BY target.ordinal),
        array_agg(queue.key_from ORDER BY target.ordinal),
        array_agg(
            CASE
                WHEN NOT p_emitted AND queue.deduplicate_for > interval '0'
                    THEN queue.deduplicate_for
            END
            ORDER BY target.ordinal
        )
    INTO v_queues, v_lanes, v_key_from, v_windows
    FROM unnest(v_targets) WITH ORDINALITY AS target (name, ordinal)
    INNER JOIN arvo.queue ON queue.name = target.name
    INNER JOIN arvo.lane ON lane.queue = queue.queue AND lane.priority = queue.priority
    WHERE queue.registered
    AND NOT queue.slotted
    AND queue.singleton_for IS NULL
    AND queue.start_after <= interval '0'
    AND NOT lane.retired;
    IF cardinality(v_queues) IS DISTINCT FROM cardinality(v_targets) THEN
        RETURN;
    END IF;

    v_at := ARRAY(
        SELECT array_position(v_targets, named.name)
        FROM unnest(v_names) WITH ORDINALITY AS named (name, ordinal)
        ORDER BY named.ordinal
    );
    v_deliveries := ARRAY(
        SELECT nextval('arvo.delivery_number'::regclass)
        FROM generate_series(1, cardinality(v_names))
    );
    IF num_nonnulls(VARIADIC v_windows) > 0 THEN
        v_span := arvo.key_span((SELECT max(wanted) FROM unnest(v_windows) AS wanted), v_now);
        IF cardinality(v_span.written) > 1 THEN
            RETURN;
        END IF;
        v_slot := v_span.written[1];
        v_keys := ARRAY(
            SELECT CASE
                WHEN v_windows[item.target] IS NOT NULL
                    THEN hashtextextended(item.digest, v_queues[item.target])
            END
            FROM unnest(v_digests, v_at) WITH ORDINALITY AS item (digest, target, ordinal)
            ORDER BY item.ordinal
        );
        v_asked := ARRAY(
            SELECT v_queues[item.target]
            FROM unnest(v_at) WITH ORDINALITY AS item (target, ordinal)
            ORDER BY item.ordinal
        );
        FOREACH v_former IN ARRAY coalesce(v_span.looked, '{}') LOOP
            v_known := arvo.known_keys(v_former, v_asked, v_sources, v_ids, v_keys);
            IF v_known IS NOT NULL THEN
                v_first := arvo.first_known(v_first, v_deliveries, v_known);
            END IF;
        END LOOP;
    END IF;

    IF v_keys IS NOT NULL AND cardinality(v_ids) >= 100 THEN
        BEGIN
            INSERT INTO arvo.log (
                slot, lane, delivery, attempt, at, subject_key, event_key, event, key, dedup_key
            )
            SELECT
                v_slot,
                v_lanes[item.target],
                item.delivery,
                1,
                v_now,
                hashtextextended(item.event ->> 'subject', 0),
                hashtextextended(item.id, 0),
                CASE WHEN item.event ? 'time' THEN item.event ELSE item.event || v_time END,
                CASE
                    WHEN v_key_from[item.target] IS NOT NULL
                        THEN arvo.key_in(item.event, v_key_from[item.target])
                END,
                item.key
            FROM unnest(p_events, v_ids, v_at, v_deliveries, v_first, v_keys) WITH ORDINALITY
                AS item (event, id, target, delivery, first, key, ordinal)
            WHERE item.first IS NULL
            ORDER BY hashtextextended(item.id, 0), item.key, item.ordinal;
            v_done := true;
        EXCEPTION WHEN unique_violation THEN
            NULL;  -- known already, or twice in this call
        END;
    END IF;
    IF v_keys IS NOT NULL AND NOT v_done THEN
        WITH entered AS (
            INSERT INTO arvo.log (
                slot, lane, delivery, attempt, at, subject_key, event_key, event, key, dedup_key
            )
            SELECT
                v_slot,
                v_lanes[item.target],
                item.delivery,
                1,
                v_now,
                hashtextextended(item.event ->> 'subject', 0),
                hashtextextended(item.id, 0),
                CASE WHEN item.event ? 'time' THEN item.event ELSE item.event || v_time END,
                CASE
                    WHEN v_key_from[item.target] IS NOT NULL
                        THEN arvo.key_in(item.event, v_key_from[item.target])
                END,
                item.key
            FROM unnest(p_events, v_ids, v_at, v_deliveries, v_first, v_keys) WITH ORDINALITY
                AS item (event, id, target, delivery, first, key, ordinal)
            WHERE item.first IS NULL
            ORDER BY hashtextextended(item.id, 0), item.key, item.ordinal
            ON CONFLICT DO NOTHING
            RETURNING log.delivery
        )

        SELECT array_agg(item.ordinal::integer ORDER BY item.ordinal) INTO v_rest
        FROM unnest(v_deliveries, v_first) WITH ORDINALITY AS item (delivery, first, ordinal)
        LEFT JOIN entered ON entered.delivery = item.delivery
        WHERE item.first IS NULL AND entered.delivery IS NULL;
        v_done := v_rest IS NULL;
        IF NOT v_done THEN
            v_known := arvo.note_keys(
                ARRAY(SELECT v_asked[ordinal] FROM unnest(v_rest) AS ordinal),
                ARRAY(SELECT v_sources[ordinal] FROM unnest(v_rest) AS ordinal),
                ARRAY(SELECT v_ids[ordinal] FROM unnest(v_rest) AS ordinal),
                ARRAY(SELECT v_deliveries[ordinal] FROM unnest(v_rest) AS ordinal)
            );
            SELECT array_agg(coalesce(item.first, found.first) ORDER BY item.ordinal) INTO v_first
            FROM unnest(v_deliveries, v_first) WITH ORDINALITY AS item (delivery, first, ordinal)
            LEFT JOIN unnest(v_rest, v_known) AS found (ordinal, first)
                ON found.ordinal = item.ordinal;
        END IF;
    END IF;
    IF NOT v_done THEN
        INSERT INTO arvo.log (
            slot, lane, delivery, attempt, at, subject_key, event_key, event, key
        )
        SELECT
            v_slot,
            v_lanes[item.target],
            item.delivery,
            1,
            v_now,
            hashtextextended(item.event ->> 'subject', 0),
            hashtextextended(item.id, 0),
            CASE WHEN item.event ? 'time' THEN item.event ELSE item.event || v_time END,
            CASE
                WHEN v_key_from[item.target] IS NOT NULL
                    THEN arvo.key_in(item.event, v_key_from[item.target])
            END
        FROM unnest(p_events, v_ids, v_at, v_deliveries, v_first) WITH ORDINALITY
            AS item (event, id, target, delivery, first, ordinal)
        WHERE item.first IS NULL
        AND (v_rest IS NULL OR item.ordinal = ANY (v_rest))
        ORDER BY item.ordinal;
    END IF;
    PERFORM arvo.wake(v_targets);
    RETURN QUERY
    SELECT
        item.ordinal::integer,
        item.id,
        coalesce(item.first, item.delivery),
        v_targets[item.target],
        CASE
            WHEN item.first IS NOT NULL THEN 'duplicate'
            WHEN item.domained THEN 'domained'
            ELSE 'queued'
        END
    FROM unnest(v_ids, v_domained, v_at, v_deliveries, v_first) WITH ORDINALITY
        AS item (id, domained, target, delivery, first, ordinal)
    ORDER BY item.ordinal;
END;
$append_plain$;

COMMENT ON FUNCTION arvo.append_plain(jsonb[], boolean, boolean) IS
'Appends plain events, in order; no rows when they take more than that.';

REVOKE ALL ON FUNCTION arvo.append_plain(jsonb[], boolean, boolean) FROM PUBLIC;
