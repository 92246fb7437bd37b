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
-- arvo.event_digest, which as an expression takes a third of the time.
--
--   Reads    arvo.queue, arvo.lane, arvo.clock, arvo.slot
--   Writes   arvo.log; as arvo.note_keys
--   Locks    as arvo.note_keys
--   Raises   40001  as arvo.note_keys
--            RV902  as arvo.require_home
DECLARE
    v_now timestamptz := arvo.clock();
    v_time jsonb := jsonb_build_object('time', to_char(
        v_now AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"+00:00"'
    ));
    v_slot smallint := arvo.slot();
    v_ids text[];
    v_domained boolean[];
    v_names text[];
    v_keys bytea[];
    v_targets text[];
    v_queues integer[];
    v_lanes integer[];
    v_key_from text[];
    v_windows boolean[];
    v_at integer[];
    v_deliveries bigint[];
    v_first bigint[];
BEGIN
    PERFORM arvo.require_home();
    SELECT
        array_agg(told.id),
        array_agg(told.domain IS NOT NULL),
        array_agg(coalesce('arvo.domain.' || told.domain, told.name)),
        array_agg(told.key)
    INTO v_ids, v_domained, v_names, v_keys
    FROM (
        SELECT
            item.event ->> 'id' AS id,
            CASE WHEN NOT p_ignore_domain THEN item.event ->> 'domain' END AS domain,
            coalesce(item.event ->> 'to', item.event ->> 'type') AS name,
            substr(
                sha256(convert_to(
                    concat(
                        length(item.event ->> 'source'), ':', item.event ->> 'source',
                        item.event ->> 'id'
                    ),
                    'UTF8'
                )),
                1, 16
            ) AS key
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
        array_agg(NOT p_emitted AND queue.deduplicate_for > interval '0' ORDER BY target.ordinal)
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
    IF true = ALL (v_windows) THEN
        v_first := arvo.note_keys(
            ARRAY(
                SELECT v_queues[item.target]
                FROM unnest(v_at) WITH ORDINALITY AS item (target, ordinal)
                ORDER BY item.ordinal
            ),
            v_keys,
            v_deliveries
        );
    ELSIF true = ANY (v_windows) THEN
        RETURN;
    END IF;

    INSERT INTO arvo.log (slot, lane, delivery, attempt, at, subject_key, event_key, event, key)
    SELECT
        v_slot,
        v_lanes[item.target],
        item.delivery,
        1,
        v_now,
        hashtextextended(item.event ->> 'subject', 0),
        hashtextextended(item.event ->> 'id', 0),
        CASE WHEN item.event ? 'time' THEN item.event ELSE item.event || v_time END,
        CASE
            WHEN v_key_from[item.target] IS NOT NULL
                THEN arvo.key_in(item.event, v_key_from[item.target])
        END
    FROM unnest(p_events, v_at, v_deliveries, v_first) WITH ORDINALITY
        AS item (event, target, delivery, first, ordinal)
    WHERE item.first IS NULL
    ORDER BY item.ordinal;
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
