-- undo functions

SET LOCAL ROLE arvo_owner;
SET LOCAL check_function_bodies = off;  -- blocks may refer to later blocks

--! function arvo_v1.write_state
-- arvo_v1.write_state(subject, data, expected_version, parent, initiator, source, lock) — store the next state of one workflow.
CREATE OR REPLACE FUNCTION arvo_v1.write_state(
    p_subject text,
    p_data jsonb,
    p_expected_version bigint DEFAULT 0,
    p_parent_subject text DEFAULT NULL,
    p_initiator text DEFAULT NULL,
    p_source text DEFAULT NULL,
    p_lock bigint DEFAULT NULL
)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $write_state$
-- Stores p_data as version p_expected_version + 1 and returns that version; a first write expects
-- version 0. With p_lock, only while that lock on the subject is held: nobody can take it over
-- before this transaction ends.
--
--   Reads    arvo.clock, arvo.state_lock
--   Writes   as arvo.put_state
--   Locks    arvo.state_lock row of p_subject (when p_lock is given), then as arvo.put_state
--   Raises   RV006  an argument is not valid
--            RV101  version mismatch: the stored version is not the expected one
--            RV302  the lock is not, or no longer, held
DECLARE
    v_argument text := CASE
        WHEN p_subject IS NULL OR p_subject = '' THEN 'subject'
        WHEN p_data IS NULL OR jsonb_typeof(p_data) <> 'object' THEN 'data'
        WHEN p_expected_version IS NULL OR p_expected_version < 0 THEN 'expected_version'
    END;
    v_version bigint;
BEGIN
    IF v_argument IS NOT NULL THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = v_argument,
              DETAIL = format('argument: %s', v_argument),
              HINT = 'subject is a text that is not empty, data a JSON object, expected_version 0'
                     ' or more.';
    END IF;

    IF p_lock IS NOT NULL THEN
        PERFORM
        FROM arvo.state_lock
        WHERE state_lock.subject_digest = arvo.subject_digest(p_subject)
        AND state_lock.token = p_lock
        AND state_lock.expires_at > arvo.clock()
        FOR SHARE;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'lock is not held'
            USING ERRCODE = 'RV302',
                  DETAIL = format('subject %L, token %s', left(p_subject, 80), p_lock),
                  HINT = 'Acquire the lock, read the state again and decide again.';
        END IF;
    END IF;

    v_version := arvo.put_state(
        p_subject, p_data, p_expected_version, p_parent_subject, p_initiator, p_source
    );
    IF v_version IS NULL THEN
        RAISE EXCEPTION 'version mismatch: the state has moved on'
        USING ERRCODE = 'RV101',
              DETAIL = format('subject %L is not at version %s', left(p_subject, 80),
                              p_expected_version),
              HINT = 'Read the state again and decide again.';
    END IF;
    RETURN v_version;
END;
$write_state$;

COMMENT ON FUNCTION arvo_v1.write_state(text, jsonb, bigint, text, text, text, bigint) IS
'Optimistic write: stores the next state of a subject and returns its version.';

REVOKE ALL ON FUNCTION
arvo_v1.write_state(text, jsonb, bigint, text, text, text, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
arvo_v1.write_state(text, jsonb, bigint, text, text, text, bigint) TO arvo_worker;
--! end

--! function arvo_v1.trace
-- arvo_v1.trace(subject, event_id) — the whole story of a workflow.
CREATE OR REPLACE FUNCTION arvo_v1.trace(
    p_subject text DEFAULT NULL,
    p_event_id text DEFAULT NULL
)
RETURNS SETOF arvo_v1.step
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $trace$
-- Every delivery of every event of the tree of workflows that p_subject belongs to, or that the
-- event p_event_id belongs to, in order of acceptance. Payloads are not shown. By index only: cost
-- grows with the story, not with history.
--
--   Reads    arvo.log, arvo.deferred and arvo.dead by subject, arvo.lease, arvo.closure, arvo.lane,
--            arvo.queue, arvo.lineage
--   Writes   nothing
--   Locks    nothing
--   Raises   RV006  not exactly one of subject and event_id is given
DECLARE
    v_subjects text[];
BEGIN
    IF num_nonnulls(p_subject, p_event_id) <> 1 THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'subject',
              DETAIL = format('%s of subject and event_id are given.',
                              num_nonnulls(p_subject, p_event_id)),
              HINT = 'Give either subject or event_id.';
    END IF;

    SELECT array_agg(DISTINCT known.subject) INTO v_subjects
    FROM (
        SELECT p_subject AS subject
        WHERE p_subject IS NOT NULL
        UNION ALL
        SELECT found.event ->> 'subject'
        FROM (
            SELECT log.event
            FROM arvo.log
            WHERE log.event_key = hashtextextended(p_event_id, 0)
            UNION ALL
            SELECT deferred.event
            FROM arvo.deferred
            WHERE deferred.event_key = hashtextextended(p_event_id, 0)
        ) AS found
        WHERE found.event ->> 'id' = p_event_id
    ) AS known;
    SELECT array_agg(DISTINCT kin.subject) INTO v_subjects
    FROM unnest(v_subjects) AS asked (subject)
    CROSS JOIN LATERAL (
        SELECT asked.subject
        UNION ALL
        SELECT relative.subject
        FROM arvo_v1.lineage(asked.subject) AS relative
    ) AS kin;

    RETURN QUERY
    WITH entry AS MATERIALIZED (
        SELECT
            known.subject,
            arvo.event_of(log) AS event,
            log.delivery,
            log.lane,
            log.xid,
            log.attempt,
            log.at,
            log.cause,
            NULL::timestamptz AS due
        FROM unnest(v_subjects) AS known (subject)
        INNER JOIN arvo.log ON log.subject_key = hashtextextended(known.subject, 0)
        UNION ALL
        SELECT
            known.subject,
            coalesce(deferred.event, (
                SELECT origin.event
                FROM arvo.log AS origin
                WHERE origin.lane = deferred.origin_lane
                AND origin.xid = deferred.origin_xid
                AND origin.delivery = deferred.origin_delivery
            )),
            deferred.delivery,
            deferred.lane,
            deferred.xid,
            deferred.attempt,
            deferred.at,
            deferred.cause,
            deferred.due
        FROM unnest(v_subjects) AS known (subject)
        INNER JOIN arvo.deferred ON deferred.subject_key = hashtextextended(known.subject, 0)
        WHERE NOT EXISTS (
            SELECT
            FROM arvo.log
            WHERE log.subject_key = deferred.subject_key AND log.delivery = deferred.delivery
        )
    )

    SELECT
        entry.subject,
        entry.event ->> 'id',
        entry.event ->> 'parentid',
        entry.event ->> 'type',
        entry.event ->> 'source',
        queue.name,
        entry.delivery,
        entry.attempt,
        CASE
            WHEN closed.outcome IS NOT NULL THEN closed.outcome
            WHEN entry.due IS NOT NULL THEN 'deferred'
            WHEN held.token IS NOT NULL THEN 'active'
            WHEN withdrawn.delivery IS NOT NULL THEN 'cancelled'
            WHEN queue.registered OR entry.cause ->> 'outcome' = 'dead' THEN 'queued'
            WHEN starts_with(queue.name, 'arvo.domain.') THEN 'domained'
            ELSE 'unroutable'
        END,
        entry.at,
        held.leased_at,
        closed.at,
        make_interval(secs => closed.run_time / 1000000.0),
        held.worker,
        coalesce(
            (
                SELECT dead.error
                FROM arvo.dead
                WHERE dead.subject_key = hashtextextended(entry.subject, 0)
                AND dead.delivery = entry.delivery
            ),
            (
                SELECT nullif(later.cause -> 'error', 'null')
                FROM entry AS later
                WHERE later.cause ->> 'delivery' = entry.delivery::text
                AND later.cause ->> 'outcome' <> 'redriven'
                LIMIT 1
            )
        )
    FROM entry
    INNER JOIN arvo.lane ON lane.lane = entry.lane
    INNER JOIN arvo.queue ON queue.queue = lane.queue
    LEFT JOIN LATERAL (
        SELECT lease.token, lease.leased_at, lease.worker
        FROM arvo.lease
        WHERE lease.lane = entry.lane
        AND lease.high_xid >= entry.xid
        AND lease.low_xid <= entry.xid
        AND lease.token <> 0
        AND entry.delivery = ANY (lease.deliveries)
        AND NOT lease.carried
        AND entry.due IS NULL
        ORDER BY lease.high_xid, lease.number
        LIMIT 1
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
    WHERE entry.event ->> 'subject' = entry.subject
    ORDER BY entry.at, entry.delivery;
END;
$trace$;

COMMENT ON FUNCTION arvo_v1.trace(text, text) IS
'Every delivery of every event of a workflow''s tree: queue, attempt, outcome, times, error.';

REVOKE ALL ON FUNCTION arvo_v1.trace(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.trace(text, text) TO arvo_monitor, arvo_operator, arvo_worker;
--! end

--! function arvo_v1.settle
-- arvo_v1.settle(results) — finish any number of deliveries, in one transaction.
CREATE OR REPLACE FUNCTION arvo_v1.settle(p_results jsonb)
RETURNS SETOF arvo_v1.settled
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $settle$
-- p_results is an array of objects:
--
--   lease, delivery   as claimed (numbers, or texts of digits)
--   outcome           completed, failed, released, snoozed or rejected
--   events            completed: array of events to emit
--   state             completed: {"subject", "data", "expected_version" and, for a first write,
--                     "parent_subject", "initiator", "source"}
--   error             failed, rejected: {"name", "message", "stack"}
--   after             failed, snoozed: seconds until the next attempt
--   run_time          microseconds that the handler ran
--
-- Each item gets its own verdict; a refused one changes nothing and spoils no other:
--
--   RV001  an emitted event is not valid           RV006  the item is malformed
--   RV101  the state had moved on: the delivery goes back at once, uncharged
--   RV301  the lease is not, or no longer, the caller's
--
-- An item settled before under the same lease is answered "already". States, emitted events,
-- retries, dead letters and the journal are written together.
--
--   Reads    arvo.lease and arvo.closure by token, arvo.clock, arvo.slot
--   Writes   arvo.state, arvo.lineage, arvo.closure, arvo.dead; as arvo.append and arvo.give_back
--   Locks    the leases, in order of their tokens; then arvo.state rows, in order of subject; then
--            as arvo.give_back and arvo.append
--   Raises   RV005  the transaction is not READ COMMITTED
--            RV006  p_results is not an array
DECLARE
    v_now timestamptz := arvo.clock();
    v_items arvo.result[];
    v_events jsonb[];
    v_at integer;
    v_fault text;
    v_version bigint;
BEGIN
    PERFORM arvo.require_read_committed('settle');
    IF p_results IS NULL OR jsonb_typeof(p_results) <> 'array' THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'results',
              DETAIL = format('results is of type %s.', coalesce(jsonb_typeof(p_results), 'null')),
              HINT = 'Give a JSON array of results.';
    END IF;

    SELECT array_agg(item ORDER BY item.ordinal) INTO v_items
    FROM arvo.read_results(p_results) AS item;
    IF v_items IS NULL THEN
        RETURN;
    END IF;

    PERFORM pg_advisory_xact_lock(named.lease)
    FROM (
        SELECT DISTINCT item.lease
        FROM unnest(v_items) AS item
        WHERE item.lease IS NOT NULL
        ORDER BY item.lease
    ) AS named;

    -- A statement of its own: it must see what the last holder of these locks committed.
    v_items := arvo.judge_results(v_items);

    FOR v_at, v_fault IN
        SELECT DISTINCT ON (item.ordinal) item.ordinal, arvo.event_fault(emitted.event)
        FROM unnest(v_items) AS item
        CROSS JOIN LATERAL jsonb_array_elements(item.events) AS emitted (event)
        WHERE item.verdict IS NULL AND arvo.event_fault(emitted.event) IS NOT NULL
        ORDER BY item.ordinal
    LOOP
        v_items[v_at].verdict := 'refused';
        v_items[v_at].code := 'RV001';
        v_items[v_at].detail := 'emitted event: ' || v_fault;
    END LOOP;

    FOR v_at IN
        SELECT item.ordinal
        FROM unnest(v_items) AS item
        WHERE item.verdict IS NULL AND item.state IS NOT NULL
        ORDER BY item.state ->> 'subject' COLLATE "C", item.ordinal
    LOOP
        v_version := arvo.put_state(
            v_items[v_at].state ->> 'subject',
            v_items[v_at].state -> 'data',
            (v_items[v_at].state ->> 'expected_version')::bigint,
            v_items[v_at].state ->> 'parent_subject',
            v_items[v_at].state ->> 'initiator',
            v_items[v_at].state ->> 'source'
        );
        IF v_version IS NULL THEN
            v_items[v_at].code := 'RV101';
            v_items[v_at].detail := format(
                'version mismatch: subject %L is not at version %s',
                left(v_items[v_at].state ->> 'subject', 80),
                v_items[v_at].state ->> 'expected_version'
            );
            v_items[v_at].verdict := arvo.give_back(
                v_items[v_at].lane, v_items[v_at].low_xid, v_items[v_at].high_xid,
                v_items[v_at].delivery, 'conflict',
                jsonb_build_object(
                    'name', 'VersionConflict', 'message', v_items[v_at].detail, 'stack', NULL
                )
            );
        ELSE
            v_items[v_at].state_version := v_version;
        END IF;
    END LOOP;

    FOR v_at IN
        SELECT item.ordinal
        FROM unnest(v_items) AS item
        WHERE item.verdict IS NULL AND item.asked <> 'completed'
        ORDER BY item.ordinal
    LOOP
        v_items[v_at].verdict := arvo.give_back(
            v_items[v_at].lane, v_items[v_at].low_xid, v_items[v_at].high_xid,
            v_items[v_at].delivery, v_items[v_at].asked, v_items[v_at].error, v_items[v_at].after
        );
    END LOOP;

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

    UPDATE arvo.dead
    SET resolution = 'consumed', resolved_at = v_now, resolved_by = session_user
    FROM unnest(v_items) AS item
    WHERE item.verdict IS NULL
    AND dead.dead_letter_lane = item.lane
    AND dead.dead_letter_delivery = item.delivery
    AND dead.resolution IS NULL;

    SELECT array_agg(emitted.event ORDER BY item.ordinal, emitted.ordinal) INTO v_events
    FROM unnest(v_items) AS item
    CROSS JOIN LATERAL
        jsonb_array_elements(item.events) WITH ORDINALITY AS emitted (event, ordinal)
    WHERE item.verdict IS NULL;
    IF v_events IS NOT NULL THEN
        PERFORM arvo.append(v_events);
    END IF;

    RETURN QUERY
    SELECT
        item.ordinal,
        item.lease,
        item.delivery,
        coalesce(item.verdict, '') NOT IN ('refused', 'conflict') AND item.code IS NULL,
        coalesce(item.verdict, 'completed'),
        item.code,
        item.detail,
        item.state_version
    FROM unnest(v_items) AS item
    ORDER BY item.ordinal;
END;
$settle$;

COMMENT ON FUNCTION arvo_v1.settle(jsonb) IS
'Finishes deliveries: journals, writes states, emits events, retries or buries, all in one transaction.';

REVOKE ALL ON FUNCTION arvo_v1.settle(jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.settle(jsonb) TO arvo_worker;
--! end

--! function arvo_v1.register_queue
-- arvo_v1.register_queue(queue, options…) — create or update a queue, idempotently.
CREATE OR REPLACE FUNCTION arvo_v1.register_queue(
    p_queue text,
    p_stateful boolean DEFAULT NULL,
    p_priority integer DEFAULT NULL,
    p_retry_limit integer DEFAULT NULL,
    p_retry_delay interval DEFAULT NULL,
    p_retry_backoff boolean DEFAULT NULL,
    p_retry_delay_max interval DEFAULT NULL,
    p_expire_in interval DEFAULT NULL,
    p_dead_letter text DEFAULT NULL,
    p_warning_queue_size integer DEFAULT NULL
)
RETURNS arvo_v1.queue
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $register_queue$
-- An option left NULL stays as it is, or takes its default in a new queue. The answer's "change"
-- says what this call did: created, unchanged, or the options that changed ("registered" is among
-- them when events were already waiting under that name). A dead-letter queue that does not exist is made. Events that arrived before
-- the registration are delivered from now on.
--
--   Reads    arvo.clock
--   Writes   arvo.queue, arvo.lane
--   Locks    arvo.queue row of p_queue
--   Raises   RV002  an option is not valid
DECLARE
    v_now timestamptz := arvo.clock();
    v_known boolean;
    v_before arvo.queue;
    v_after arvo.queue;
    v_option text;
    v_rule text;
    v_change text;
BEGIN
    SELECT faulty.option, faulty.rule INTO v_option, v_rule
    FROM (
        VALUES
        (1, 'queue', arvo.is_queue_name(p_queue),
         'use 1 to 512 characters of a URI, without quotes'),
        (2, 'queue', NOT starts_with(p_queue, 'arvo.domain.') OR p_queue ~ '^arvo\.domain\.[a-z0-9.]+$',
         'after arvo.domain. use lower-case letters, digits and dots'),
        (3, 'retry_limit', p_retry_limit >= 0, 'use 0 or more'),
        (4, 'retry_delay', p_retry_delay >= interval '0', 'use an interval that is not negative'),
        (5, 'retry_delay_max', p_retry_delay_max >= interval '0',
         'use an interval that is not negative'),
        (6, 'expire_in', p_expire_in BETWEEN interval '1 second' AND interval '1 day',
         'use between 1 second and 1 day'),
        (7, 'dead_letter', p_dead_letter IS NULL OR arvo.is_queue_name(p_dead_letter),
         'use 1 to 512 characters of a URI, without quotes'),
        (8, 'dead_letter', p_dead_letter <> p_queue, 'name another queue'),
        (9, 'warning_queue_size', p_warning_queue_size >= 1, 'use 1 or more')
    ) AS faulty (ordinal, option, kept, rule)
    WHERE NOT faulty.kept
    ORDER BY faulty.ordinal
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'option is not valid'
        USING ERRCODE = 'RV002',
              COLUMN = v_option,
              DETAIL = format('option %s of queue %s', v_option, left(to_json(p_queue)::text, 80)),
              HINT = format('For %s, %s.', v_option, v_rule);
    END IF;

    v_known := EXISTS (SELECT FROM arvo.queue WHERE queue.name = p_queue);
    PERFORM arvo.lane_for(p_queue);
    IF p_dead_letter IS NOT NULL THEN
        PERFORM arvo.lane_for(p_dead_letter);
    END IF;

    SELECT queue.* INTO STRICT v_before
    FROM arvo.queue
    WHERE queue.name = p_queue
    FOR NO KEY UPDATE;

    UPDATE arvo.queue
    SET registered = true,
        stateful = coalesce(p_stateful, queue.stateful),
        priority = coalesce(p_priority, queue.priority),
        retry_limit = coalesce(p_retry_limit, queue.retry_limit),
        retry_delay = coalesce(p_retry_delay, queue.retry_delay),
        retry_backoff = coalesce(p_retry_backoff, queue.retry_backoff),
        retry_delay_max = coalesce(p_retry_delay_max, queue.retry_delay_max),
        expire_in = coalesce(p_expire_in, queue.expire_in),
        dead_letter = coalesce(p_dead_letter, queue.dead_letter),
        warning_queue_size = coalesce(p_warning_queue_size, queue.warning_queue_size)
    WHERE queue.queue = v_before.queue
    RETURNING queue.* INTO v_after;
    PERFORM arvo.lane_for(p_queue);

    SELECT string_agg(was.key, ', ' ORDER BY was.key) INTO v_change
    FROM jsonb_each(to_jsonb(v_before)) AS was
    INNER JOIN jsonb_each(to_jsonb(v_after)) AS now ON now.key = was.key
    WHERE was.value IS DISTINCT FROM now.value;
    v_change := CASE WHEN v_known THEN coalesce(v_change, 'unchanged') ELSE 'created' END;
    IF v_change <> 'unchanged' THEN
        UPDATE arvo.queue SET changed_at = v_now WHERE queue.queue = v_before.queue;
        PERFORM arvo.wake(ARRAY[p_queue]);
    END IF;

    RETURN (
        v_after.name, v_change, v_after.registered, v_after.stateful, v_after.priority,
        v_after.retry_limit, v_after.retry_delay, v_after.retry_backoff, v_after.retry_delay_max,
        v_after.expire_in, v_after.dead_letter, v_after.warning_queue_size
    )::arvo_v1.queue;
END;
$register_queue$;

COMMENT ON FUNCTION arvo_v1.register_queue(
    text, boolean, integer, integer, interval, boolean, interval, interval, text, integer
) IS
'Creates or updates a queue, idempotently; an option left NULL stays as it is. Says what changed.';

REVOKE ALL ON FUNCTION arvo_v1.register_queue(
    text, boolean, integer, integer, interval, boolean, interval, interval, text, integer
) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.register_queue(
    text, boolean, integer, integer, interval, boolean, interval, interval, text, integer
) TO arvo_worker, arvo_operator;
--! end

--! function arvo_v1.redrive
-- arvo_v1.redrive(queue, dead, limit, dry_run) — put dead letters back into the queues they failed in.
CREATE OR REPLACE FUNCTION arvo_v1.redrive(
    p_queue text DEFAULT NULL,
    p_dead bigint[] DEFAULT NULL,
    p_limit integer DEFAULT 100,
    p_dry_run boolean DEFAULT false
)
RETURNS SETOF arvo_v1.redriven
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $redrive$
-- By number, by queue (the one they failed in, or the dead-letter queue that received them), or
-- both; oldest first. The event starts again with attempt 1. Its delivery in the dead-letter queue is
-- withdrawn; one that a consumer of that queue has in its hands, or has put off, is left alone. A dry run answers
-- what would be done.
--
--   Reads    arvo.dead, arvo.lease, arvo.clock, arvo.slot
--   Writes   arvo.dead, arvo.tombstone, arvo.log; arvo.queue, arvo.lane when they are missing
--   Locks    arvo.dead rows (those that another redrive holds are skipped), lanes of dead-letter
--            queues
--   Raises   RV005  the transaction is not READ COMMITTED
--            RV006  neither queue nor dead is given
DECLARE
    v_now timestamptz := arvo.clock();
    v_dead arvo.dead;
    v_head arvo.lease;
    v_lane integer;
    v_delivery bigint;
    v_left integer := p_limit;
BEGIN
    PERFORM arvo.require_read_committed('redrive');
    IF p_queue IS NULL AND p_dead IS NULL THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'queue',
              DETAIL = 'Neither queue nor dead is given.',
              HINT = 'Name a queue, or the numbers of dead letters.';
    END IF;

    FOR v_dead IN
        SELECT dead.*
        FROM arvo.dead
        WHERE dead.resolution IS NULL
        AND (p_queue IS NULL OR dead.queue = p_queue OR dead.dead_letter = p_queue)
        AND (p_dead IS NULL OR dead.dead = ANY (p_dead))
        ORDER BY dead.dead_letter_lane NULLS FIRST, dead.dead
        FOR NO KEY UPDATE SKIP LOCKED
    LOOP
        EXIT WHEN v_left <= 0;
        IF v_dead.dead_letter_lane IS NOT NULL THEN
            PERFORM pg_advisory_xact_lock(hashtext('arvo'), v_dead.dead_letter_lane);
            SELECT head.* INTO STRICT v_head
            FROM arvo.lease AS head
            WHERE head.lane = v_dead.dead_letter_lane
            ORDER BY head.number DESC
            LIMIT 1;
            CONTINUE WHEN v_dead.dead_letter_xid IS NULL OR NOT arvo.is_unclaimed(
                v_head, v_dead.dead_letter_xid, v_dead.dead_letter_delivery
            );
        END IF;
        v_left := v_left - 1;
        v_delivery := NULL;
        IF NOT p_dry_run THEN
            IF v_dead.dead_letter_lane IS NOT NULL THEN
                INSERT INTO arvo.tombstone (lane, delivery, at)
                VALUES (v_dead.dead_letter_lane, v_dead.dead_letter_delivery, v_now);
            END IF;
            v_lane := arvo.lane_for(v_dead.queue);
            v_delivery := nextval('arvo.delivery_number'::regclass);
            INSERT INTO arvo.log (
                slot, lane, delivery, attempt, at, subject_key, event_key, event, cause
            )
            VALUES (
                arvo.slot(), v_lane, v_delivery, 1, v_now, v_dead.subject_key, v_dead.event_key,
                v_dead.event,
                jsonb_build_object(
                    'outcome', 'redriven',
                    'dead', v_dead.dead,
                    'delivery', v_dead.delivery,
                    'error', v_dead.error,
                    'redrives', v_dead.redrives + 1
                )
            );
            UPDATE arvo.dead
            SET resolution = 'redriven', resolved_at = v_now, resolved_by = session_user
            WHERE dead.dead = v_dead.dead;
            PERFORM arvo.wake(ARRAY[v_dead.queue]);
        END IF;
        RETURN NEXT (
            v_dead.dead, v_dead.event_id, v_delivery, v_dead.queue
        )::arvo_v1.redriven;
    END LOOP;
END;
$redrive$;

COMMENT ON FUNCTION arvo_v1.redrive(text, bigint[], integer, boolean) IS
'Puts dead letters back into the queues they failed in, by number or by queue.';

REVOKE ALL ON FUNCTION arvo_v1.redrive(text, bigint[], integer, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.redrive(text, bigint[], integer, boolean) TO arvo_operator;
--! end

--! function arvo_v1.cleanup_state
-- arvo_v1.cleanup_state(subject) — forget one workflow.
CREATE OR REPLACE FUNCTION arvo_v1.cleanup_state(p_subject text)
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $cleanup_state$
-- Removes the state, the lock and, unless other workflows descend from it, the place in the tree.
-- Children are not touched and keep their root. Idempotent: true when there was a state.
--
--   Reads    arvo.lineage
--   Writes   arvo.state, arvo.state_lock, arvo.lineage
--   Locks    arvo.state row, arvo.state_lock row, arvo.lineage row of p_subject
--   Raises   nothing
DECLARE
    v_digest bytea := arvo.subject_digest(p_subject);
    v_found boolean;
BEGIN
    DELETE FROM arvo.state WHERE state.subject_digest = v_digest;
    v_found := FOUND;
    DELETE FROM arvo.state_lock WHERE state_lock.subject_digest = v_digest;
    DELETE FROM arvo.lineage
    WHERE lineage.subject_digest = v_digest
    AND NOT EXISTS (
        SELECT FROM arvo.lineage AS child WHERE child.parent_digest = v_digest
    );
    RETURN v_found;
END;
$cleanup_state$;

COMMENT ON FUNCTION arvo_v1.cleanup_state(text) IS
'Forgets the state and lock of one subject; true when it had a state.';

REVOKE ALL ON FUNCTION arvo_v1.cleanup_state(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.cleanup_state(text) TO arvo_worker, arvo_operator;
--! end

--! function arvo_v1.acquire_lock
-- arvo_v1.acquire_lock(subject, ttl) — take the lock on a subject, if it is free.
CREATE OR REPLACE FUNCTION arvo_v1.acquire_lock(
    p_subject text,
    p_ttl interval DEFAULT interval '2 minutes'
)
RETURNS SETOF arvo_v1.lock
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $acquire_lock$
-- Answers one row with a fencing token, or none when somebody holds the lock. Never waits: an
-- upsert alone would wait for a competitor's open transaction, so a transaction lock is tried first.
--
--   Reads    arvo.clock
--   Writes   arvo.state_lock
--   Locks    the subject's transaction lock, tried; arvo.state_lock row
--   Raises   RV006  an argument is not valid
BEGIN
    IF p_subject IS NULL OR p_subject = ''
        OR p_ttl IS NULL OR p_ttl NOT BETWEEN interval '1 millisecond' AND interval '30 days'
    THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = CASE WHEN p_subject IS NULL OR p_subject = '' THEN 'subject' ELSE 'ttl' END,
              DETAIL = format('ttl: %s', p_ttl),
              HINT = 'subject is a text that is not empty, ttl 1 millisecond to 30 days.';
    END IF;
    IF NOT pg_try_advisory_xact_lock(arvo.lock_key(p_subject)) THEN
        RETURN;
    END IF;
    RETURN QUERY
    INSERT INTO arvo.state_lock AS held (subject_digest, subject, token, locked_at, expires_at)
    VALUES (
        arvo.subject_digest(p_subject), p_subject, nextval('arvo.lock_token'::regclass),
        arvo.clock(), arvo.clock() + p_ttl
    )
    ON CONFLICT (subject_digest) DO UPDATE
    SET token = excluded.token,
        locked_at = excluded.locked_at,
        expires_at = excluded.expires_at
    WHERE held.expires_at <= excluded.locked_at
    RETURNING held.subject, held.token, held.expires_at;
END;
$acquire_lock$;

COMMENT ON FUNCTION arvo_v1.acquire_lock(text, interval) IS
'Takes the time-limited lock on a subject and returns its fencing token; no row when it is held.';

REVOKE ALL ON FUNCTION arvo_v1.acquire_lock(text, interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.acquire_lock(text, interval) TO arvo_worker;
--! end

DROP FUNCTION arvo.withdraw(integer, bigint, arvo.log[]);
--! function arvo.withdraw
--! end

--! function arvo.read_results
-- arvo.read_results(results) — the results of a settlement as rows, malformed ones refused.
CREATE OR REPLACE FUNCTION arvo.read_results(p_results jsonb)
RETURNS SETOF arvo.result
LANGUAGE sql
IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $read_results$
-- Nothing is cast before it has been looked at: a malformed item is refused (RV006) by itself, and
-- spoils no other. The form of an item is described in arvo_v1.settle.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
WITH item AS MATERIALIZED (
    SELECT
        listed.ordinal::integer AS ordinal,
        arvo.as_bigint(listed.item -> 'lease') AS lease,
        arvo.as_bigint(listed.item -> 'delivery') AS delivery,
        listed.item ->> 'outcome' AS asked,
        nullif(listed.item -> 'events', 'null') AS events,
        nullif(listed.item -> 'state', 'null') AS state,
        nullif(listed.item -> 'error', 'null') AS error,
        nullif(listed.item -> 'after', 'null') AS after,
        arvo.as_bigint(listed.item -> 'run_time') AS run_time
    FROM jsonb_array_elements(p_results) WITH ORDINALITY AS listed (item, ordinal)
),

checked AS (
    SELECT
        item.*,
        CASE
            WHEN item.lease IS NULL THEN 'lease: must be a number'
            WHEN item.delivery IS NULL THEN 'delivery: must be a number'
            WHEN item.asked IS NULL
                OR item.asked NOT IN ('completed', 'failed', 'released', 'snoozed', 'rejected')
                THEN 'outcome: must be completed, failed, released, snoozed or rejected'
            WHEN row_number() OVER (
                PARTITION BY item.lease, item.delivery ORDER BY item.ordinal
            ) > 1 THEN 'delivery: is named twice in one call'
            WHEN item.events IS NOT NULL AND jsonb_typeof(item.events) <> 'array'
                THEN 'events: must be an array'
            WHEN item.asked <> 'completed'
                AND (item.state IS NOT NULL OR item.events <> '[]')
                THEN 'outcome: only a completed delivery emits events or writes a state'
            WHEN item.state IS NOT NULL AND jsonb_typeof(item.state) <> 'object'
                THEN 'state: must be an object'
            WHEN item.state IS NOT NULL AND (
                jsonb_typeof(item.state -> 'subject') IS DISTINCT FROM 'string'
                OR item.state ->> 'subject' = ''
            ) THEN 'state.subject: must be a text that is not empty'
            WHEN item.state IS NOT NULL
                AND jsonb_typeof(item.state -> 'data') IS DISTINCT FROM 'object'
                THEN 'state.data: must be an object'
            WHEN item.state IS NOT NULL
                AND arvo.as_bigint(item.state -> 'expected_version') IS NULL
                THEN 'state.expected_version: must be a number'
            WHEN item.after IS NOT NULL AND (
                jsonb_typeof(item.after) <> 'number'
                OR (item.after #>> '{}')::numeric NOT BETWEEN 0 AND 315360000
            ) THEN 'after: must be seconds, 0 to 315360000'
            WHEN item.asked = 'snoozed' AND item.after IS NULL THEN 'after: is missing'
        END AS fault
    FROM item
)

SELECT
    checked.ordinal,
    checked.lease,
    checked.delivery,
    checked.asked,
    checked.events,
    checked.state,
    CASE
        WHEN pg_column_size(checked.error) > 65536 THEN jsonb_build_object(
            'name', left(checked.error ->> 'name', 200),
            'message', left(checked.error ->> 'message', 2000),
            'stack', left(checked.error ->> 'stack', 20000),
            'truncated', true
        )
        ELSE checked.error
    END,
    CASE
        WHEN checked.fault IS NULL
            THEN make_interval(secs => (checked.after #>> '{}')::double precision)
    END,
    CASE
        WHEN checked.run_time IS NOT NULL THEN least(checked.run_time, 2147483647)::integer
    END,
    NULL::integer,
    NULL::xid8,
    NULL::xid8,
    CASE WHEN checked.fault IS NOT NULL THEN 'refused' END,
    CASE WHEN checked.fault IS NOT NULL THEN 'RV006' END,
    checked.fault,
    NULL::bigint
FROM checked
ORDER BY checked.ordinal;
$read_results$;

COMMENT ON FUNCTION arvo.read_results(jsonb) IS
'The results of a settlement as rows; malformed ones are refused one by one.';

REVOKE ALL ON FUNCTION arvo.read_results(jsonb) FROM PUBLIC;
--! end

--! function arvo.put_state
-- arvo.put_state(subject, data, expected_version, parent, initiator, source) — optimistic write, without raising.
CREATE OR REPLACE FUNCTION arvo.put_state(
    p_subject text,
    p_data jsonb,
    p_expected_version bigint,
    p_parent_subject text,
    p_initiator text,
    p_source text
)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $put_state$
-- Stores p_data as version p_expected_version + 1 and returns that version; NULL when the stored
-- version is another one. The first write (expected version 0) also places the subject in the tree
-- of workflows; a parent that is not there yet gets its place now, so children may come first.
--
--   Reads    arvo.clock
--   Writes   arvo.state, arvo.lineage
--   Locks    arvo.state row of p_subject, then arvo.lineage rows
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
    v_digest bytea := arvo.subject_digest(p_subject);
    v_parent bytea := arvo.subject_digest(nullif(p_parent_subject, p_subject));
    v_status text := coalesce(p_data ->> 'executionStatus', 'unknown');
    v_version bigint;
BEGIN
    IF p_expected_version > 0 THEN
        UPDATE arvo.state
        SET version = state.version + 1,
            data = p_data,
            execution_status = v_status,
            changed_at = v_now
        WHERE state.subject_digest = v_digest AND state.version = p_expected_version
        RETURNING state.version INTO v_version;
        RETURN v_version;
    END IF;

    INSERT INTO arvo.state (
        subject_digest, subject, version, data, execution_status, initiator, source,
        created_at, changed_at
    )
    VALUES (
        v_digest, p_subject, 1, p_data, v_status, p_initiator, p_source,
        v_now, v_now
    )
    ON CONFLICT (subject_digest) DO NOTHING
    RETURNING state.version INTO v_version;
    IF v_version IS NULL THEN
        RETURN NULL;
    END IF;

    IF v_parent IS NOT NULL THEN
        INSERT INTO arvo.lineage (subject_digest, subject, created_at)
        VALUES (v_parent, p_parent_subject, v_now)
        ON CONFLICT (subject_digest) DO NOTHING;
    END IF;
    INSERT INTO arvo.lineage AS known (subject_digest, subject, parent_digest, created_at)
    VALUES (v_digest, p_subject, v_parent, v_now)
    ON CONFLICT (subject_digest) DO UPDATE
    SET parent_digest = excluded.parent_digest
    WHERE known.parent_digest IS NULL AND excluded.parent_digest IS NOT NULL;
    RETURN v_version;
END;
$put_state$;

COMMENT ON FUNCTION arvo.put_state(text, jsonb, bigint, text, text, text) IS
'Optimistic write of a state: the new version, or NULL when the stored version is another one.';

REVOKE ALL ON FUNCTION arvo.put_state(text, jsonb, bigint, text, text, text) FROM PUBLIC;
--! end

--! function arvo.event_fault
-- arvo.event_fault(event) — the first rule that an event breaks, or NULL.
CREATE OR REPLACE FUNCTION arvo.event_fault(p_event jsonb)
RETURNS text
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $event_fault$
-- Answers 'field: rule', the field first. The rules are those of ArvoEvent as far as a broker
-- depends on them; the finer ones (URI syntax, time syntax) are the client's. Size is measured as
-- PostgreSQL prints the event: at most 1 MiB (1,048,576 bytes).
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_key text;
    v_value jsonb;
    v_type text;
BEGIN
    IF p_event IS NULL OR jsonb_typeof(p_event) <> 'object' THEN
        RETURN 'event: must be a JSON object';
    END IF;
    -- jsonb is never smaller than an eighth of its text: only events that may be too large are printed
    IF pg_column_size(p_event) > 131072 AND octet_length(p_event::text) > 1048576 THEN
        RETURN 'event: must not be larger than 1048576 bytes';
    END IF;
    FOR v_key, v_value IN SELECT field.key, field.value FROM jsonb_each(p_event) AS field LOOP
        v_type := jsonb_typeof(v_value);
        CASE
            WHEN v_key IN ('id', 'source', 'subject', 'type', 'specversion', 'datacontenttype',
                           'time') THEN
                IF v_type <> 'string' OR v_value = '""' THEN
                    RETURN v_key || ': must be a text that is not empty';
                END IF;
            WHEN v_key = 'data' THEN
                IF v_type <> 'object' THEN
                    RETURN 'data: must be a JSON object';
                END IF;
            WHEN v_key = 'executionunits' THEN
                IF v_type NOT IN ('number', 'null') THEN
                    RETURN 'executionunits: must be a number or null';
                END IF;
            WHEN v_key IN ('to', 'domain', 'redirectto', 'accesscontrol', 'parentid', 'dataschema',
                           'traceparent', 'tracestate') THEN
                IF v_type NOT IN ('string', 'null') OR v_value = '""' THEN
                    RETURN v_key || ': must be a text that is not empty, or null';
                END IF;
            ELSE
                IF v_key !~ '^[a-z0-9]+$' THEN
                    RETURN left(to_json(v_key)::text, 80)
                        || ': names of extensions are lower-case letters and digits';
                END IF;
                IF v_type IN ('object', 'array') THEN
                    RETURN left(v_key, 80) || ': extensions are texts, numbers, booleans or null';
                END IF;
        END CASE;
    END LOOP;
    FOREACH v_key IN ARRAY ARRAY['id', 'source', 'type', 'subject', 'data'] LOOP
        IF NOT p_event ? v_key THEN
            RETURN v_key || ': is missing';
        END IF;
    END LOOP;
    IF p_event ->> 'specversion' <> '1.0' THEN
        RETURN 'specversion: must be 1.0';
    END IF;
    IF p_event ->> 'type' !~ '^[a-z0-9]+(\.[a-z0-9]+)+\.[a-z0-9]+$' THEN
        RETURN 'type: must be three or more dotted segments of lower-case letters and digits';
    END IF;
    IF p_event ->> 'domain' !~ '^[a-z0-9.]+$' OR length(p_event ->> 'domain') > 400 THEN
        RETURN 'domain: must be lower-case letters, digits and dots, at most 400';
    END IF;
    v_key := coalesce(p_event ->> 'to', p_event ->> 'type');
    IF NOT arvo.is_queue_name(v_key) THEN
        RETURN 'to: must be at most 512 characters of a URI, without quotes';
    END IF;
    RETURN NULL;
END;
$event_fault$;

COMMENT ON FUNCTION arvo.event_fault(jsonb) IS
'The first rule that an event breaks, as "field: rule"; NULL when it breaks none.';

REVOKE ALL ON FUNCTION arvo.event_fault(jsonb) FROM PUBLIC;
--! end

--! function arvo.claim_lane
-- arvo.claim_lane(lane, limit, worker, lease) — lease the next deliveries of one lane.
CREATE OR REPLACE FUNCTION arvo.claim_lane(
    p_lane integer,
    p_limit integer,
    p_worker text,
    p_lease interval
)
RETURNS SETOF arvo_v1.claimed
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $claim_lane$
-- The caller holds the lane. The newest lease row is the cursor: a window between two snapshots, and
-- the position reached in it. A row belongs to the window if its transaction is visible in the
-- newer snapshot and not in the older one, so a transaction that commits late is found, exactly
-- once, whatever its number; one that stays open blocks nobody; one that rolls back leaves no trace.
-- Order is by window, then transaction, then delivery. A claim that finds nothing writes nothing.
--
--   Reads    arvo.lease, arvo.log by (lane, xid, delivery), arvo.tombstone, arvo.queue, arvo.state
--   Writes   arvo.lease (one row); arvo.closure and arvo.tombstone for withdrawn deliveries
--   Locks    as arvo.sweep
--   Raises   RV902  the stored transaction numbers belong to another cluster
DECLARE
    v_now timestamptz := arvo.clock();
    v_slot smallint := arvo.slot();
    v_head arvo.lease;
    v_queue arvo.queue;
    v_open_from bigint;
    v_sweep_at timestamptz;
    v_expires_at timestamptz;
    v_token bigint;
    v_previous pg_snapshot;
    v_snapshot pg_snapshot;
    v_last_xid xid8;
    v_last_delivery bigint;
    v_from_xid xid8;
    v_from_delivery bigint;
    v_late xid8[];
    v_withdrawn boolean;
    v_handed_out boolean;
    v_leased boolean;
BEGIN
    SELECT head.* INTO STRICT v_head
    FROM arvo.lease AS head
    WHERE head.lane = p_lane
    ORDER BY head.number DESC
    LIMIT 1;
    SELECT queue.* INTO STRICT v_queue
    FROM arvo.lane
    INNER JOIN arvo.queue ON queue.queue = lane.queue
    WHERE lane.lane = p_lane;

    v_open_from := v_head.open_from;
    v_sweep_at := v_head.sweep_at;
    IF v_sweep_at <= v_now THEN
        v_open_from := arvo.sweep(v_head, 4096);
        -- Twice a second at most: in a busy lane some lease is always about to lapse.
        v_sweep_at := NULL;
        SELECT greatest(oldest.expires_at, v_now + interval '0.5 seconds') INTO v_sweep_at
        FROM arvo.lease AS oldest
        WHERE oldest.lane = p_lane AND oldest.number = v_open_from;
    END IF;

    v_expires_at := greatest(v_now + p_lease, v_head.expires_at);
    v_token := (nextval('arvo.lease_number'::regclass) << 12) | floor(random() * 4096)::bigint;
    v_withdrawn := EXISTS (SELECT FROM arvo.tombstone WHERE tombstone.lane = p_lane);

    FOR v_try IN 1..2 LOOP
        IF v_head.exhausted OR v_try = 2 THEN
            v_previous := v_head.snapshot;
            v_snapshot := arvo.window_snapshot();
            v_last_xid := '0';
            v_last_delivery := 0;
            IF pg_snapshot_xmax(v_snapshot) < pg_snapshot_xmax(v_previous) THEN
                RAISE EXCEPTION 'transaction numbers are of another cluster'
                USING ERRCODE = 'RV902',
                      DETAIL = format('lane %s was read up to transaction %s; this cluster is at %s.',
                                      p_lane, pg_snapshot_xmax(v_previous),
                                      pg_snapshot_xmax(v_snapshot)),
                      HINT = 'The database was restored into another cluster.';
            END IF;
        ELSE
            v_previous := v_head.previous_snapshot;
            v_snapshot := v_head.snapshot;
            v_last_xid := v_head.last_xid;
            v_last_delivery := v_head.last_delivery;
        END IF;

        -- Late transactions of the older snapshot come first, then everything that is newer.
        v_from_xid := pg_snapshot_xmax(v_previous);
        v_from_delivery := 0;
        v_late := '{}';
        IF v_last_xid >= v_from_xid THEN
            v_from_xid := v_last_xid;
            v_from_delivery := v_last_delivery;
        ELSE
            SELECT coalesce(array_agg(listed.xid), '{}') INTO v_late
            FROM pg_snapshot_xip(v_previous) AS listed (xid)
            WHERE pg_visible_in_snapshot(listed.xid, v_snapshot) AND listed.xid >= v_last_xid;
        END IF;

        RETURN QUERY
        WITH late AS (
            SELECT entry.*
            FROM unnest(v_late) AS listed (xid)
            CROSS JOIN LATERAL (
                SELECT log.*
                FROM arvo.log
                WHERE log.lane = p_lane
                AND log.xid = listed.xid
                AND log.delivery > CASE WHEN listed.xid = v_last_xid THEN v_last_delivery ELSE 0 END
                ORDER BY log.delivery
                LIMIT p_limit
            ) AS entry
        ),

        newer AS (
            SELECT log.*
            FROM arvo.log
            WHERE log.lane = p_lane
            AND (log.xid, log.delivery) > (v_from_xid, v_from_delivery)
            AND log.xid < pg_snapshot_xmax(v_snapshot)
            AND pg_visible_in_snapshot(log.xid, v_snapshot)
            ORDER BY log.xid, log.delivery
            LIMIT p_limit
        ),

        batch AS MATERIALIZED (
            SELECT entry.*
            FROM (SELECT * FROM late UNION ALL SELECT * FROM newer) AS entry
            ORDER BY entry.xid, entry.delivery
            LIMIT p_limit
        ),

        leased AS (
            INSERT INTO arvo.lease (
                slot, lane, number, token, worker, leased_at, expires_at, deliveries,
                low_xid, high_xid, previous_snapshot, snapshot, last_xid, last_delivery,
                exhausted, open_from, sweep_at
            )
            SELECT
                v_slot,
                p_lane,
                v_head.number + 1,
                v_token,
                p_worker,
                v_now,
                v_expires_at,
                taken.deliveries,
                taken.low_xid,
                taken.high_xid,
                v_previous,
                v_snapshot,
                taken.high_xid,
                taken.deliveries[cardinality(taken.deliveries)],
                cardinality(taken.deliveries) < p_limit,
                v_open_from,
                least(v_sweep_at, v_expires_at)
            FROM (
                SELECT
                    array_agg(batch.delivery ORDER BY batch.xid, batch.delivery) AS deliveries,
                    min(batch.xid) AS low_xid,
                    max(batch.xid) AS high_xid
                FROM batch
            ) AS taken
            WHERE taken.deliveries IS NOT NULL
        )

        SELECT
            v_token,
            batch.delivery,
            v_queue.name,
            batch.attempt,
            v_expires_at,
            v_queue.expire_in,
            batch.event,
            batch.cause,
            state.data,
            CASE WHEN v_queue.stateful THEN coalesce(state.version, 0) END
        FROM (
            SELECT
                taken.xid,
                taken.delivery,
                taken.attempt,
                taken.cause,
                -- a later delivery says where the event stands; asked for only when it is one
                coalesce(taken.event, (
                    SELECT origin.event
                    FROM arvo.log AS origin
                    WHERE origin.lane = taken.origin_lane
                    AND origin.xid = taken.origin_xid
                    AND origin.delivery = taken.origin_delivery
                )) AS event
            FROM batch AS taken
        ) AS batch
        LEFT JOIN arvo.state
            ON state.subject_digest = CASE
                WHEN v_queue.stateful THEN arvo.subject_digest(batch.event ->> 'subject')
            END
        WHERE NOT v_withdrawn OR NOT EXISTS (
            SELECT
            FROM arvo.tombstone
            WHERE tombstone.lane = p_lane AND tombstone.delivery = batch.delivery
        )
        ORDER BY batch.xid, batch.delivery;
        v_handed_out := FOUND;
        v_leased := v_handed_out OR (
            v_withdrawn AND EXISTS (SELECT FROM arvo.lease WHERE lease.token = v_token)
        );
        -- A window that ended exactly at the limit leaves nothing: then open the next one now.
        EXIT WHEN v_leased OR v_head.exhausted;
    END LOOP;

    IF v_withdrawn AND v_leased THEN
        WITH met AS (
            DELETE FROM arvo.tombstone
            USING arvo.lease
            WHERE tombstone.lane = p_lane
            AND lease.token = v_token
            AND tombstone.delivery = ANY (lease.deliveries)
            RETURNING tombstone.delivery
        )

        INSERT INTO arvo.closure (slot, token, at, deliveries, outcomes, run_times)
        SELECT
            v_slot,
            v_token,
            v_now,
            array_agg(met.delivery),
            '{cancelled}',
            array_fill(NULL::integer, ARRAY[count(*)::integer])
        FROM met
        HAVING count(*) > 0;
        IF NOT v_handed_out THEN
            RETURN QUERY SELECT * FROM arvo.claim_lane(p_lane, p_limit, p_worker, p_lease);
            RETURN;
        END IF;
    END IF;

    IF NOT v_leased AND v_open_from > v_head.open_from THEN
        INSERT INTO arvo.lease (
            slot, lane, number, token, worker, leased_at, expires_at, deliveries,
            previous_snapshot, snapshot, last_xid, last_delivery, exhausted,
            open_from, sweep_at
        )
        VALUES (
            v_slot, p_lane, v_head.number + 1, 0, p_worker, v_now, v_head.expires_at, '{}',
            v_head.previous_snapshot, v_head.snapshot, v_head.last_xid, v_head.last_delivery,
            v_head.exhausted, v_open_from, coalesce(v_sweep_at, 'infinity')
        );
    END IF;
END;
$claim_lane$;

COMMENT ON FUNCTION arvo.claim_lane(integer, integer, text, interval) IS
'Leases the next deliveries of a lane whose lock the caller holds.';

REVOKE ALL ON FUNCTION arvo.claim_lane(integer, integer, text, interval) FROM PUBLIC;
--! end

DROP FUNCTION arvo.as_bigint(text);
--! function arvo.as_bigint
-- arvo.as_bigint(value) — a number that fits, or NULL.
CREATE OR REPLACE FUNCTION arvo.as_bigint(p_value jsonb)
RETURNS bigint
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $as_bigint$
-- Accepts a JSON number or a text of digits (JavaScript cannot hold every bigint), not negative.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT CASE
           WHEN p_value #>> '{}' ~ '^[0-9]{1,19}$'
               AND (p_value #>> '{}')::numeric <= 9223372036854775807
               THEN (p_value #>> '{}')::bigint
       END;
$as_bigint$;

COMMENT ON FUNCTION arvo.as_bigint(jsonb) IS
'A JSON number, or a text of digits, as bigint; NULL for anything else.';

REVOKE ALL ON FUNCTION arvo.as_bigint(jsonb) FROM PUBLIC;
--! end

DELETE FROM arvo.revision WHERE number = 3;
