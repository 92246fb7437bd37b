-- loses: turns, parked deliveries, deduplication, schedules, subscriptions and audit
-- undo queue-engine

SET LOCAL ROLE arvo_owner;
SET LOCAL check_function_bodies = off;  -- blocks may refer to later blocks

DROP FUNCTION arvo_v1.workers();
--! function arvo_v1.workers
--! end

--! function arvo_v1.work
-- arvo_v1.work(results, queues, limit, worker, limits, lease) — settle, then claim: one round trip, one commit.
CREATE OR REPLACE FUNCTION arvo_v1.work(
    p_results jsonb DEFAULT '[]',
    p_queues text[] DEFAULT NULL,
    p_limit integer DEFAULT 1,
    p_worker text DEFAULT NULL,
    p_limits integer[] DEFAULT NULL,
    p_lease interval DEFAULT interval '30 seconds'
)
RETURNS SETOF arvo_v1.worked
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '2s'
AS $work$
-- Answers, in this order: verdicts of kind "settled" (only those that are not plainly completed),
-- deliveries of kind "claimed", and one row of kind "idle" when nothing was claimed, which says when
-- something deferred becomes due: at once, if this very call appended something to these queues.
-- Nothing is claimed when p_queues is NULL or p_limit is 0.
--
--   Reads    as arvo_v1.settle and arvo_v1.claim; arvo.deferred
--   Writes   as arvo_v1.settle and arvo_v1.claim
--   Locks    as arvo_v1.settle, then as arvo_v1.claim (which waits for none)
--   Raises   as arvo_v1.settle and arvo_v1.claim
--            55P03  somebody has held a lock for two seconds: settle the results one by one
BEGIN
    IF p_results IS DISTINCT FROM '[]' THEN
        RETURN QUERY
        SELECT
            'settled',
            verdict.lease,
            verdict.delivery,
            verdict.outcome,
            verdict.code,
            verdict.detail,
            NULL::text,
            NULL::integer,
            NULL::interval,
            NULL::jsonb,
            NULL::jsonb,
            NULL::jsonb,
            verdict.state_version,
            NULL::interval
        FROM arvo_v1.settle(p_results) AS verdict
        WHERE verdict.outcome <> 'completed'
        ORDER BY verdict.ordinal;
    END IF;
    IF p_queues IS NULL OR p_limit = 0 THEN
        RETURN;
    END IF;

    RETURN QUERY
    SELECT
        'claimed',
        claimed.lease,
        claimed.delivery,
        NULL::text,
        NULL::text,
        NULL::text,
        claimed.queue,
        claimed.attempt,
        claimed.expire_in,
        claimed.event,
        claimed.cause,
        claimed.state,
        claimed.state_version,
        NULL::interval
    FROM arvo_v1.claim(p_queues, p_limit, p_worker, p_limits, p_lease) AS claimed;
    IF NOT FOUND THEN
        RETURN NEXT (
            'idle', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
            CASE WHEN arvo.has_own(p_queues) THEN interval '0' ELSE arvo.next_due() END
        )::arvo_v1.worked;
    END IF;
END;
$work$;

COMMENT ON FUNCTION arvo_v1.work(jsonb, text[], integer, text, integer[], interval) IS
'Settles results and claims the next deliveries, in one round trip and one commit.';

REVOKE ALL ON FUNCTION arvo_v1.work(jsonb, text[], integer, text, integer[], interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.work(jsonb, text[], integer, text, integer[], interval)
TO arvo_worker;
--! end

DROP FUNCTION arvo_v1.unsubscribe(text, text);
--! function arvo_v1.unsubscribe
--! end

DROP FUNCTION arvo_v1.unschedule(text, text, boolean);
--! function arvo_v1.unschedule
--! end

--! function arvo_v1.trace
-- arvo_v1.trace(subject, event_id) — the whole story of a workflow.
CREATE OR REPLACE FUNCTION arvo_v1.trace(
    p_subject text DEFAULT NULL,
    p_event_id text DEFAULT NULL
)
RETURNS SETOF arvo_v1.step
LANGUAGE plpgsql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
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
            coalesce(log.event, (
                SELECT origin.event
                FROM arvo.log AS origin
                WHERE origin.lane = log.origin_lane
                AND origin.xid = log.origin_xid
                AND origin.delivery = log.origin_delivery
            )) AS event,
            log.delivery,
            log.lane,
            log.xid,
            log.attempt,
            log.at,
            log.cause,
            NULL::timestamptz AS due
        FROM unnest(v_subjects) AS known (subject)
        CROSS JOIN LATERAL (
            SELECT found.*
            FROM arvo.log AS found
            WHERE found.subject_key = hashtextextended(known.subject, 0)
            OFFSET 0  -- only by index: no join may read the log another way
        ) AS log
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
        CROSS JOIN LATERAL (
            SELECT found.*
            FROM arvo.deferred AS found
            WHERE found.subject_key = hashtextextended(known.subject, 0)
            OFFSET 0
        ) AS deferred
    ),

    -- a promoted row stands in both rooms until it is swept away
    step AS MATERIALIZED (
        SELECT DISTINCT ON (entry.delivery) entry.*
        FROM entry
        ORDER BY entry.delivery, entry.due NULLS FIRST
    ),

    -- what a later delivery says of the one before
    told AS MATERIALIZED (
        SELECT DISTINCT ON (step.cause ->> 'delivery')
            (step.cause ->> 'delivery')::bigint AS delivery,
            nullif(step.cause -> 'error', 'null') AS error
        FROM step
        WHERE step.cause ->> 'outcome' <> 'redriven'
        ORDER BY step.cause ->> 'delivery', step.delivery
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
            told.error
        )
    FROM step AS entry
    LEFT JOIN told ON told.delivery = entry.delivery
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

DROP FUNCTION arvo_v1.subscriptions(text, text);
--! function arvo_v1.subscriptions
--! end

DROP FUNCTION arvo_v1.subscribe(text, text);
--! function arvo_v1.subscribe
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
-- An item settled before under the same lease is answered "already" (not accepted, with code RV101,
-- if it ended in a conflict then). States, emitted events,
-- retries, dead letters and the journal are written together.
--
--   Reads    arvo.lease and arvo.closure by token, arvo.clock, arvo.slot
--   Writes   arvo.state, arvo.lineage, arvo.closure, arvo.dead; as arvo.append and arvo.give_back
--   Locks    the leases, in order of their tokens; then arvo.state rows, in order of subject; then
--            as arvo.place, arvo.give_back and arvo.append
--   Raises   RV005  the transaction is not READ COMMITTED
--            RV006  p_results is not an array, or has more than 10000 items
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

    IF jsonb_array_length(p_results) > 10000 THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'results',
              DETAIL = format('results has %s items.', jsonb_array_length(p_results)),
              HINT = 'Settle at most 10000 results in one call.';
    END IF;

    SELECT array_agg(item ORDER BY item.ordinal) INTO v_items
    FROM arvo.read_results(p_results) AS item;
    IF v_items IS NULL THEN
        RETURN;
    END IF;

    PERFORM pg_advisory_xact_lock(arvo.lease_key(named.lease))
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
            v_items[v_at].state ->> 'initiator',
            v_items[v_at].state ->> 'source'
        );
        IF v_version IS NULL THEN
            v_items[v_at].code := 'RV101';
            v_items[v_at].detail := format(
                'version mismatch: subject %s is not at version %s',
                left((v_items[v_at].state -> 'subject')::text, 80),
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

    PERFORM arvo.place(
        array_agg(item.state ->> 'subject'), array_agg(item.state ->> 'parent_subject')
    )
    FROM unnest(v_items) AS item
    WHERE item.state_version = 1
    HAVING count(*) > 0;

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

DROP FUNCTION arvo_v1.schedules(text);
--! function arvo_v1.schedules
--! end

DROP FUNCTION arvo_v1.schedule(text, text, jsonb, text, text, text, integer, interval, text, text, jsonb);
--! function arvo_v1.schedule
--! end

DROP FUNCTION arvo_v1.retry_now(bigint[], text, text, text, text, text, timestamptz, jsonpath, text, integer, boolean);
--! function arvo_v1.retry_now
--! end

DROP FUNCTION arvo_v1.resume_schedule(text, text);
--! function arvo_v1.resume_schedule
--! end

DROP FUNCTION arvo_v1.resume_queue(text);
--! function arvo_v1.resume_queue
--! end

DROP FUNCTION arvo_v1.reprioritize(integer, bigint[], text, text, text, text, text, timestamptz, jsonpath, text, integer, boolean);
--! function arvo_v1.reprioritize
--! end

DROP FUNCTION arvo_v1.replay(text, text, bigint, text);
--! function arvo_v1.replay
--! end

DROP FUNCTION arvo_v1.register_queue(text, boolean, integer, integer, interval, boolean, interval, interval, text, integer, text, text, text, interval, interval, interval, interval, interval, boolean, integer, integer, integer, interval, integer, interval, integer, jsonb, text[], text);
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
        -- Without a bound, a retry would be due behind the end of time, and fail with its whole batch.
        (4, 'retry_delay', p_retry_delay BETWEEN interval '0' AND interval '3650 days',
         'use between 0 and 3650 days'),
        (5, 'retry_delay_max', p_retry_delay_max BETWEEN interval '0' AND interval '3650 days',
         'use between 0 and 3650 days'),
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

DROP FUNCTION arvo_v1.redrive(text, bigint[], integer, boolean, text, timestamptz, timestamptz, text, text, jsonpath, text, double precision, jsonb, jsonb, text, boolean);
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
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $redrive$
-- By number, by queue (the one they failed in, or the dead-letter queue that received them), or
-- both; oldest first. The event starts again with attempt 1. Its delivery in the dead-letter queue is
-- withdrawn; one that a consumer of that queue has in its hands, or has put off, is left alone. A dry run answers
-- what would be done.
--
--   Reads    arvo.dead, arvo.lease, arvo.clock, arvo.slot
--   Writes   arvo.dead, arvo.tombstone, arvo.log; arvo.queue, arvo.lane when they are missing
--   Locks    lanes of dead-letter queues, in order; then arvo.dead rows (those that somebody else
--            holds are skipped): whoever holds a lane may wait for such a row
--   Raises   RV005  the transaction is not READ COMMITTED
--            RV006  neither queue nor dead is given
--            RV902  the stored transaction numbers are of another cluster
DECLARE
    v_now timestamptz := arvo.clock();
    v_dead arvo.dead;
    v_head arvo.lease;
    v_lane integer;
    v_delivery bigint;
    v_left integer := p_limit;
BEGIN
    PERFORM arvo.require_read_committed('redrive');
    PERFORM arvo.require_home();
    IF p_queue IS NULL AND p_dead IS NULL THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'queue',
              DETAIL = 'Neither queue nor dead is given.',
              HINT = 'Name a queue, or the numbers of dead letters.';
    END IF;

    PERFORM pg_advisory_xact_lock(hashtext('arvo'), received.lane)
    FROM (
        SELECT DISTINCT dead.dead_letter_lane AS lane
        FROM arvo.dead
        WHERE dead.resolution IS NULL
        AND dead.dead_letter_lane IS NOT NULL
        AND (p_queue IS NULL OR dead.queue = p_queue OR dead.dead_letter = p_queue)
        AND (p_dead IS NULL OR dead.dead = ANY (p_dead))
        ORDER BY dead.dead_letter_lane
    ) AS received;

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
            -- A lane that came up since the locks were taken is left to the next call.
            CONTINUE WHEN NOT pg_try_advisory_xact_lock(
                hashtext('arvo'), v_dead.dead_letter_lane
            );
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

DROP FUNCTION arvo_v1.recreate_queue(text, boolean);
--! function arvo_v1.recreate_queue
--! end

DROP FUNCTION arvo_v1.rebase(boolean);
--! function arvo_v1.rebase
--! end

--! function arvo_v1.queue_stats
-- arvo_v1.queue_stats(queue) — live numbers of one queue, or of all.
CREATE OR REPLACE FUNCTION arvo_v1.queue_stats(p_queue text DEFAULT NULL)
RETURNS SETOF arvo_v1.queue_stats
LANGUAGE sql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $queue_stats$
-- Counts exactly: by index, from each lane's cursor on, so the cost grows with what is waiting, not
-- with history. What has been withdrawn does not wait. An empty queue has zeros; an unknown one has
-- no row.
--
--   Reads    arvo.queue, arvo.lane, arvo.lease, arvo.log, arvo.closure, arvo.deferred,
--            arvo.promotion, arvo.tombstone, arvo.dead
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT
    queue.name,
    queue.registered,
    queue.retry_limit,
    queue.retry_delay,
    queue.retry_backoff,
    queue.retry_delay_max,
    queue.expire_in,
    queue.dead_letter,
    queue.warning_queue_size,
    (
        SELECT count(*)
        FROM arvo.lane
        CROSS JOIN (
            SELECT head.due, head.delivery, head.snapshot
            FROM arvo.promotion AS head
            ORDER BY head.number DESC
            LIMIT 1
        ) AS passed
        INNER JOIN arvo.deferred ON deferred.lane = lane.lane
        WHERE lane.queue = queue.queue
        AND NOT (
            (deferred.due, deferred.delivery) <= (passed.due, passed.delivery)
            AND pg_visible_in_snapshot(deferred.xid, passed.snapshot)
        )
    ),
    ready.deliveries,
    (
        SELECT coalesce(sum(cardinality(arvo.open_deliveries(held.token, held.deliveries))), 0)
        FROM arvo.lane
        CROSS JOIN LATERAL (
            SELECT newest.open_from
            FROM arvo.lease AS newest
            WHERE newest.lane = lane.lane
            ORDER BY newest.number DESC
            LIMIT 1
        ) AS head
        INNER JOIN arvo.lease AS held
            ON held.lane = lane.lane AND held.number >= head.open_from AND held.token <> 0
        WHERE lane.queue = queue.queue
        AND NOT EXISTS (
            SELECT
            FROM arvo.lease AS newer
            WHERE newer.token = held.token AND newer.number > held.number
        )
    )::bigint,
    (
        SELECT count(*)
        FROM arvo.dead
        WHERE dead.queue = queue.name AND dead.resolution IS NULL
    ),
    ready.oldest,
    queue.created_at,
    queue.changed_at
FROM arvo.queue
CROSS JOIN LATERAL (
    SELECT count(entry.delivery) AS deliveries, min(entry.at) AS oldest
    FROM arvo.lane
    CROSS JOIN LATERAL (
        SELECT newest.*
        FROM arvo.lease AS newest
        WHERE newest.lane = lane.lane
        ORDER BY newest.number DESC
        LIMIT 1
    ) AS head
    INNER JOIN arvo.log AS entry
        ON entry.lane = lane.lane
        AND (entry.xid, entry.delivery) >= (pg_snapshot_xmin(head.previous_snapshot), 0)
        AND NOT pg_visible_in_snapshot(entry.xid, head.previous_snapshot)
        AND NOT (
            pg_visible_in_snapshot(entry.xid, head.snapshot)
            AND (
                head.exhausted
                OR (entry.xid, entry.delivery) <= (head.last_xid, head.last_delivery)
            )
        )
    WHERE lane.queue = queue.queue
    AND NOT EXISTS (
        SELECT
        FROM arvo.tombstone
        WHERE tombstone.lane = lane.lane AND tombstone.delivery = entry.delivery
    )
) AS ready
WHERE p_queue IS NULL OR queue.name = p_queue
ORDER BY queue.name COLLATE "C";
$queue_stats$;

COMMENT ON FUNCTION arvo_v1.queue_stats(text) IS
'Live numbers of one queue, or of all queues when none is named.';

REVOKE ALL ON FUNCTION arvo_v1.queue_stats(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.queue_stats(text) TO arvo_worker, arvo_monitor, arvo_operator;
--! end

DROP FUNCTION arvo_v1.purge_queue(text, integer, boolean);
--! function arvo_v1.purge_queue
--! end

DROP FUNCTION arvo_v1.publish(jsonb, jsonb);
--! function arvo_v1.publish
--! end

DROP FUNCTION arvo_v1.pause_schedule(text, text);
--! function arvo_v1.pause_schedule
--! end

DROP FUNCTION arvo_v1.pause_queue(text);
--! function arvo_v1.pause_queue
--! end

DROP FUNCTION arvo_v1.operations(text, timestamptz, integer);
--! function arvo_v1.operations
--! end

DROP FUNCTION arvo_v1.next_fires(text, text, integer, timestamptz, text, text);
--! function arvo_v1.next_fires
--! end

DROP FUNCTION arvo_v1.move(text, bigint[], text, text, text, text, text, timestamptz, jsonpath, text, integer, boolean);
--! function arvo_v1.move
--! end

--! function arvo_v1.maintain
-- arvo_v1.maintain() — what no claim does on its own.
CREATE OR REPLACE FUNCTION arvo_v1.maintain()
RETURNS SETOF arvo_v1.maintained
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
AS $maintain$
-- Any number of sessions may call it; one at a time works, the others return at once. Promotes due
-- deliveries, takes back expired leases also in lanes that nobody claims from, sweeps away promoted
-- rows and old cursors, removes lapsed locks. Bounded: at most some thousand rows of each a call.
--
--   Reads    arvo.lane, arvo.lease, arvo.promotion, arvo.clock
--   Writes   as arvo.promote and arvo.sweep; arvo.lease, arvo.deferred, arvo.promotion,
--            arvo.state_lock
--   Locks    the maintainer's lock, the promoter's lock, each lane: tried, never waited for
--   Raises   RV005  the transaction is not READ COMMITTED
--            RV902  the stored transaction numbers are of another cluster
DECLARE
    v_now timestamptz := arvo.clock();
    v_lane integer;
    v_head arvo.lease;
    v_open_from bigint;
    v_sweep_at timestamptz;
    v_healed bigint := 0::bigint;
    v_count bigint;
    v_passed arvo.promotion;
BEGIN
    PERFORM arvo.require_read_committed('maintain');
    PERFORM arvo.require_home();
    IF NOT pg_try_advisory_xact_lock(hashtext('arvo'), -1) THEN
        RETURN;
    END IF;

    RETURN NEXT ('promoted', arvo.promote(5000))::arvo_v1.maintained;

    -- Only lanes where something can have lapsed are locked, and not many at a time: they are held
    -- until the end of the transaction.
    FOR v_lane IN
        SELECT lane.lane
        FROM arvo.lane
        CROSS JOIN LATERAL (
            SELECT newest.sweep_at
            FROM arvo.lease AS newest
            WHERE newest.lane = lane.lane
            ORDER BY newest.number DESC
            LIMIT 1
        ) AS head
        WHERE head.sweep_at <= v_now
        ORDER BY head.sweep_at
        LIMIT 32
    LOOP
        CONTINUE WHEN NOT pg_try_advisory_xact_lock(hashtext('arvo'), v_lane);
        SELECT head.* INTO STRICT v_head
        FROM arvo.lease AS head
        WHERE head.lane = v_lane
        ORDER BY head.number DESC
        LIMIT 1;
        CONTINUE WHEN v_head.sweep_at > v_now;
        v_open_from := arvo.sweep(v_head, 4096);
        CONTINUE WHEN v_open_from = v_head.open_from;
        v_healed := v_healed + (v_open_from - v_head.open_from);
        SELECT oldest.expires_at INTO v_sweep_at
        FROM arvo.lease AS oldest
        WHERE oldest.lane = v_lane AND oldest.number = v_open_from;
        INSERT INTO arvo.lease (
            slot, lane, number, token, leased_at, expires_at, deliveries,
            previous_snapshot, snapshot, last_xid, last_delivery, exhausted,
            open_from, sweep_at
        )
        VALUES (
            arvo.slot(), v_lane, v_head.number + 1, 0, v_now, v_head.expires_at, '{}',
            v_head.previous_snapshot, v_head.snapshot, v_head.last_xid, v_head.last_delivery,
            v_head.exhausted, v_open_from, coalesce(v_sweep_at, 'infinity')
        );
    END LOOP;
    RETURN NEXT ('healed', v_healed)::arvo_v1.maintained;

    SELECT head.* INTO STRICT v_passed
    FROM arvo.promotion AS head
    ORDER BY head.number DESC
    LIMIT 1;
    DELETE FROM arvo.deferred
    WHERE deferred.delivery IN (
        SELECT gone.delivery
        FROM arvo.deferred AS gone
        WHERE (gone.due, gone.delivery) <= (v_passed.due, v_passed.delivery)
        AND pg_visible_in_snapshot(gone.xid, v_passed.snapshot)
        ORDER BY gone.due, gone.delivery
        LIMIT 5000
    );
    GET DIAGNOSTICS v_count = ROW_COUNT;
    DELETE FROM arvo.promotion WHERE promotion.number < v_passed.number;
    RETURN NEXT ('swept', v_count)::arvo_v1.maintained;

    DELETE FROM arvo.state_lock
    WHERE state_lock.subject_digest IN (
        SELECT lapsed.subject_digest
        FROM arvo.state_lock AS lapsed
        WHERE lapsed.expires_at <= v_now - interval '1 hour'
        LIMIT 5000
        FOR UPDATE SKIP LOCKED
    );
    GET DIAGNOSTICS v_count = ROW_COUNT;
    RETURN NEXT ('unlocked', v_count)::arvo_v1.maintained;
END;
$maintain$;

COMMENT ON FUNCTION arvo_v1.maintain() IS
'Promotes, heals and sweeps what claims do not reach; any number of sessions may call it.';

REVOKE ALL ON FUNCTION arvo_v1.maintain() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.maintain() TO arvo_worker, arvo_operator;
--! end

--! function arvo_v1.lineage
-- arvo_v1.lineage(subject) — the whole tree that a workflow belongs to.
CREATE OR REPLACE FUNCTION arvo_v1.lineage(p_subject text)
RETURNS SETOF arvo_v1.kin
LANGUAGE sql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $lineage$
-- From the root down, parents before children. No row when the subject is unknown.
--
--   Reads    arvo.lineage, arvo.state
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
WITH RECURSIVE kin AS (
    SELECT
        lineage.subject_digest, lineage.subject, NULL::text AS parent_subject, 0 AS depth,
        lineage.created_at
    FROM arvo.lineage
    WHERE lineage.subject_digest = arvo.root_digest(arvo.subject_digest(p_subject))
    UNION ALL
    SELECT
        lineage.subject_digest, lineage.subject, kin.subject, kin.depth + 1,
        lineage.created_at
    FROM kin
    INNER JOIN arvo.lineage ON lineage.parent_digest = kin.subject_digest
) CYCLE subject_digest SET looped USING path

SELECT kin.subject, kin.parent_subject, kin.depth, state.execution_status, kin.created_at
FROM kin
LEFT JOIN arvo.state ON state.subject_digest = kin.subject_digest
WHERE NOT kin.looped
ORDER BY kin.depth, kin.created_at, kin.subject COLLATE "C";
$lineage$;

COMMENT ON FUNCTION arvo_v1.lineage(text) IS
'The tree of workflows that a subject belongs to, from the root down.';

REVOKE ALL ON FUNCTION arvo_v1.lineage(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.lineage(text) TO arvo_worker, arvo_monitor, arvo_operator;
--! end

DROP FUNCTION arvo_v1.health();
--! function arvo_v1.health
--! end

--! function arvo_v1.extend
-- arvo_v1.extend(leases, for) — heartbeat.
CREATE OR REPLACE FUNCTION arvo_v1.extend(
    p_leases bigint[],
    p_for interval DEFAULT interval '30 seconds'
)
RETURNS SETOF arvo_v1.extended
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '2s'
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $extend$
-- Carries each lease forward: a new row of the ledger holds what is still open of it, under the same
-- token. So every open row is younger than one lease time, and looking for expired ones reads a
-- bounded tail. A lease that is unknown, taken back, or has nothing open is answered held = false.
--
--   Reads    arvo.lease and arvo.closure by token, arvo.clock, arvo.slot
--   Writes   arvo.lease
--   Locks    the leases, in order of their tokens; then their lanes, in order
--   Raises   RV005  the transaction is not READ COMMITTED
--            RV006  an argument is not valid
--            55P03  somebody has held a lock for two seconds: call again
DECLARE
    v_now timestamptz := arvo.clock();
    v_held record;
    v_head arvo.lease;
    v_lost bigint[];
BEGIN
    PERFORM arvo.require_read_committed('extend');
    IF p_leases IS NULL OR cardinality(p_leases) > 10000 OR p_for IS NULL
        OR p_for NOT BETWEEN interval '1 second' AND interval '5 minutes'
    THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = CASE
                  WHEN p_leases IS NULL OR cardinality(p_leases) > 10000 THEN 'leases'
                  ELSE 'for'
              END,
              DETAIL = format('%s leases for %s', cardinality(p_leases), p_for),
              HINT = 'Give an array of at most 10000 leases and an interval of 1 second to 5 minutes.';
    END IF;

    PERFORM pg_advisory_xact_lock(arvo.lease_key(named.lease))
    FROM (
        SELECT DISTINCT listed.lease
        FROM unnest(p_leases) AS listed (lease)
        WHERE listed.lease IS NOT NULL
        ORDER BY listed.lease
    ) AS named;
    v_lost := p_leases;

    FOR v_held IN
        SELECT newest.*, arvo.open_deliveries(newest.token, newest.deliveries) AS open
        FROM (SELECT DISTINCT listed.lease FROM unnest(p_leases) AS listed (lease)) AS named
        CROSS JOIN LATERAL (
            SELECT
                lease.token, lease.lane, lease.worker, lease.low_xid, lease.high_xid,
                lease.deliveries
            FROM arvo.lease
            WHERE lease.token = named.lease AND lease.token <> 0
            ORDER BY lease.number DESC
            LIMIT 1
        ) AS newest
        ORDER BY newest.lane, newest.token
    LOOP
        CONTINUE WHEN v_held.open = '{}';
        PERFORM pg_advisory_xact_lock(hashtext('arvo'), v_held.lane);
        SELECT head.* INTO STRICT v_head
        FROM arvo.lease AS head
        WHERE head.lane = v_held.lane
        ORDER BY head.number DESC
        LIMIT 1;
        INSERT INTO arvo.lease (
            slot, lane, number, token, worker, leased_at, expires_at, carried, deliveries,
            low_xid, high_xid, previous_snapshot, snapshot, last_xid, last_delivery,
            exhausted, open_from, sweep_at
        )
        VALUES (
            arvo.slot(), v_head.lane, v_head.number + 1, v_held.token, v_held.worker, v_now,
            greatest(v_now + p_for, v_head.expires_at), true, v_held.open,
            v_held.low_xid, v_held.high_xid, v_head.previous_snapshot, v_head.snapshot,
            v_head.last_xid, v_head.last_delivery,
            v_head.exhausted, v_head.open_from,
            least(v_head.sweep_at, greatest(v_now + p_for, v_head.expires_at))
        );
        v_lost := array_remove(v_lost, v_held.token);
        RETURN NEXT (
            v_held.token, true, greatest(v_now + p_for, v_head.expires_at)
        )::arvo_v1.extended;
    END LOOP;

    RETURN QUERY
    SELECT DISTINCT listed.lease, false, NULL::timestamptz
    FROM unnest(v_lost) AS listed (lease)
    WHERE listed.lease IS NOT NULL;
END;
$extend$;

COMMENT ON FUNCTION arvo_v1.extend(bigint[], interval) IS
'Heartbeat: carries leases forward and tells which are lost.';

REVOKE ALL ON FUNCTION arvo_v1.extend(bigint[], interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.extend(bigint[], interval) TO arvo_worker;
--! end

DROP FUNCTION arvo_v1.explain_delivery(bigint);
--! function arvo_v1.explain_delivery
--! end

DROP FUNCTION arvo_v1.drop_queue(text, boolean, boolean);
--! function arvo_v1.drop_queue
--! end

DROP FUNCTION arvo_v1.drain_queue(text);
--! function arvo_v1.drain_queue
--! end

DROP FUNCTION arvo_v1.dispatch_many(jsonb, interval, integer, boolean, jsonb);
--! function arvo_v1.dispatch_many
-- arvo_v1.dispatch_many(events, start_after, priority, ignore_domain) — accept an array of events, in order.
CREATE OR REPLACE FUNCTION arvo_v1.dispatch_many(
    p_events jsonb,
    p_start_after interval DEFAULT NULL,
    p_priority integer DEFAULT NULL,
    p_ignore_domain boolean DEFAULT false
)
RETURNS SETOF arvo_v1.dispatched
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
AS $dispatch_many$
-- As dispatch, for all or none: one event that is not valid refuses the whole call and says which.
--
--   Reads    as arvo.append
--   Writes   as arvo.append
--   Locks    as arvo.append
--   Raises   RV001  an event is not valid
--            RV002  a queue has too many priorities
--            RV006  p_events is not an array, or start_after is too long
--            RV902  the stored transaction numbers are of another cluster
DECLARE
    v_events jsonb[];
    v_ordinal bigint;
    v_fault text;
BEGIN
    IF p_events IS NULL OR jsonb_typeof(p_events) <> 'array' THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'events',
              DETAIL = format('events is of type %s.', coalesce(jsonb_typeof(p_events), 'null')),
              HINT = 'Give a JSON array of events.';
    END IF;
    SELECT array_agg(item.event ORDER BY item.ordinal) INTO v_events
    FROM jsonb_array_elements(p_events) WITH ORDINALITY AS item (event, ordinal);
    IF v_events IS NULL THEN
        RETURN;
    END IF;

    SELECT item.ordinal, arvo.event_fault(item.event) INTO v_ordinal, v_fault
    FROM unnest(v_events) WITH ORDINALITY AS item (event, ordinal)
    WHERE arvo.event_fault(item.event) IS NOT NULL
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'event is not valid'
        USING ERRCODE = 'RV001',
              COLUMN = split_part(v_fault, ':', 1),
              DETAIL = format('event %s of %s: %s', v_ordinal, cardinality(v_events), v_fault),
              HINT = 'Correct the field and dispatch the events again. Nothing has been stored.';
    END IF;
    RETURN QUERY
    SELECT accepted.*
    FROM arvo.append(v_events, p_start_after, p_priority, p_ignore_domain) AS accepted;
END;
$dispatch_many$;

COMMENT ON FUNCTION arvo_v1.dispatch_many(jsonb, interval, integer, boolean) IS
'Accepts an array of events in order, all or none, and says where each went.';

REVOKE ALL ON FUNCTION arvo_v1.dispatch_many(jsonb, interval, integer, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.dispatch_many(jsonb, interval, integer, boolean)
TO arvo_client, arvo_worker, arvo_operator;
--! end

DROP FUNCTION arvo_v1.dispatch(jsonb, interval, integer, boolean, jsonb);
--! function arvo_v1.dispatch
-- arvo_v1.dispatch(event, start_after, priority, ignore_domain) — accept one event in the caller's transaction.
CREATE OR REPLACE FUNCTION arvo_v1.dispatch(
    p_event jsonb,
    p_start_after interval DEFAULT NULL,
    p_priority integer DEFAULT NULL,
    p_ignore_domain boolean DEFAULT false
)
RETURNS arvo_v1.dispatched
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
AS $dispatch$
-- The event exists when the caller's transaction commits, and leaves no trace when it does not.
-- Routed by "domain" (to that domain's queue, unless p_ignore_domain), else by "to". An event whose
-- queue nobody has registered waits there: outcome unroutable.
--
--   Reads    as arvo.append
--   Writes   as arvo.append
--   Locks    as arvo.append
--   Raises   RV001  the event is not valid
--            RV002  the queue has too many priorities
--            RV006  start_after is too long
--            RV902  the stored transaction numbers are of another cluster
DECLARE
    v_fault text := arvo.event_fault(p_event);
    v_dispatched arvo_v1.dispatched;
BEGIN
    IF v_fault IS NOT NULL THEN
        RAISE EXCEPTION 'event is not valid'
        USING ERRCODE = 'RV001',
              COLUMN = split_part(v_fault, ':', 1),
              DETAIL = v_fault,
              HINT = 'Correct the field and dispatch the event again. Nothing has been stored.';
    END IF;
    SELECT accepted.* INTO STRICT v_dispatched
    FROM arvo.append(ARRAY[p_event], p_start_after, p_priority, p_ignore_domain) AS accepted;
    RETURN v_dispatched;
END;
$dispatch$;

COMMENT ON FUNCTION arvo_v1.dispatch(jsonb, interval, integer, boolean) IS
'Accepts one event in the caller''s transaction and says where it went.';

REVOKE ALL ON FUNCTION arvo_v1.dispatch(jsonb, interval, integer, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.dispatch(jsonb, interval, integer, boolean)
TO arvo_client, arvo_worker, arvo_operator;
--! end

DROP FUNCTION arvo_v1.discard(text, bigint[], integer, boolean, text, timestamptz, timestamptz, text, text, jsonpath, text);
--! function arvo_v1.discard
--! end

DROP FUNCTION arvo_v1.dead_letters(text, bigint, integer, boolean, bigint[], text, timestamptz, timestamptz, text, text, jsonpath, text);
--! function arvo_v1.dead_letters
-- arvo_v1.dead_letters(queue, after, limit, resolved) — list what failed for good.
CREATE OR REPLACE FUNCTION arvo_v1.dead_letters(
    p_queue text DEFAULT NULL,
    p_after bigint DEFAULT 0,
    p_limit integer DEFAULT 100,
    p_resolved boolean DEFAULT false
)
RETURNS SETOF arvo_v1.dead_letter
LANGUAGE sql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $dead_letters$
-- p_queue names the queue they failed in, or the dead-letter queue that received them. In the order
-- of their numbers; p_after is the last number of the page before.
--
--   Reads    arvo.dead
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT
    dead.dead,
    dead.delivery,
    dead.queue,
    dead.dead_letter,
    dead.event_id,
    dead.event,
    dead.attempts,
    dead.reason,
    dead.error,
    dead.died_at,
    dead.redrives,
    dead.resolution
FROM arvo.dead
WHERE (p_queue IS NULL OR dead.queue = p_queue OR dead.dead_letter = p_queue)
AND dead.dead > p_after
AND (p_resolved OR dead.resolution IS NULL)
ORDER BY dead.dead
LIMIT p_limit;
$dead_letters$;

COMMENT ON FUNCTION arvo_v1.dead_letters(text, bigint, integer, boolean) IS
'Dead letters of a queue, or that a dead-letter queue received, page by page.';

REVOKE ALL ON FUNCTION arvo_v1.dead_letters(text, bigint, integer, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.dead_letters(text, bigint, integer, boolean) TO arvo_operator;
--! end

DROP FUNCTION arvo_v1.dead_letter_attempts(bigint);
--! function arvo_v1.dead_letter_attempts
--! end

--! function arvo_v1.claim
-- arvo_v1.claim(queues, limit, worker, limits, lease) — lease deliveries.
CREATE OR REPLACE FUNCTION arvo_v1.claim(
    p_queues text[],
    p_limit integer DEFAULT 1,
    p_worker text DEFAULT NULL,
    p_limits integer[] DEFAULT NULL,
    p_lease interval DEFAULT interval '30 seconds'
)
RETURNS SETOF arvo_v1.claimed
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
AS $claim$
-- Heals first: due deferred deliveries are promoted, expired leases are taken back. Then leases up
-- to p_limit deliveries of p_queues, and no more than p_limits[i] of the i-th. A name that ends in *
-- stands for every queue that begins so. Starts at a random queue, also among those that a star
-- stands for, so that none starves; higher priorities come first. A lane that another session is claiming from is left alone.
-- A lane's lock is held to the end of the transaction, and the server has room for some thousands:
-- past 32 lanes, one with nothing to do is not locked, and a call takes from at most 512 more.
-- Within a lane leases lapse in the order in which they were taken, so the longest p_lease that
-- anybody asks for bounds how soon the next crash is noticed there; that is why it is short. In a
-- transaction of several calls settle and extend come before claim: leases are locked before lanes.
--
--   Reads    arvo.queue, arvo.lane; as arvo.is_worth_claiming and
--            arvo.claim_lane
--   Writes   as arvo.promote and arvo.claim_lane
--   Locks    the promoter's lock, each lane: tried, never waited for
--   Raises   RV003  a queue is not known
--            RV005  the transaction is not READ COMMITTED
--            RV006  an argument is not valid
--            RV902  the stored transaction numbers are of another cluster
DECLARE
    v_start integer := floor(random() * 1000000000)::integer;
    v_lane record;
    v_left integer := p_limit;
    v_quota integer[] := p_limits;
    v_want integer;
    v_got integer;
    v_locked integer := 0;
    v_unknown text;
    v_argument text;
BEGIN
    PERFORM arvo.require_read_committed('claim');
    PERFORM arvo.require_home();
    v_argument := CASE
        WHEN p_queues IS NULL OR cardinality(p_queues) = 0 THEN 'queues'
        WHEN p_limit IS NULL OR p_limit NOT BETWEEN 0 AND 10000 THEN 'limit'
        WHEN cardinality(p_limits) <> cardinality(p_queues) THEN 'limits'
        WHEN p_lease IS NULL OR p_lease NOT BETWEEN interval '1 second' AND interval '5 minutes'
            THEN 'lease'
    END;
    IF v_argument IS NOT NULL THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = v_argument,
              DETAIL = format('%s queues, limit %s, %s limits, lease %s', cardinality(p_queues),
                              p_limit, cardinality(p_limits), p_lease),
              HINT = 'Name at least one queue; limit is 0 to 10000; limits has one number for each'
                     ' queue; lease is 1 second to 5 minutes: a longer run is kept by extend.';
    END IF;
    SELECT asked.name INTO v_unknown
    FROM unnest(p_queues) AS asked (name)
    WHERE asked.name IS NULL
    OR (
        NOT asked.name LIKE '%*'
        AND NOT EXISTS (SELECT FROM arvo.queue WHERE queue.name = asked.name)
    )
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'queue is not known'
        USING ERRCODE = 'RV003',
              COLUMN = 'queues',
              DETAIL = format('queue: %s', left(to_json(v_unknown)::text, 80)),
              HINT = 'Register the queue before claiming from it.';
    END IF;

    PERFORM arvo.promote();

    FOR v_lane IN
        SELECT lane.lane, asked.position
        FROM unnest(p_queues) WITH ORDINALITY AS asked (name, position)
        CROSS JOIN LATERAL (
            SELECT queue.queue, queue.name
            FROM arvo.queue
            WHERE queue.name = asked.name
            UNION ALL
            SELECT queue.queue, queue.name
            FROM arvo.queue
            WHERE asked.name LIKE '%*' AND starts_with(queue.name, left(asked.name, -1))
        ) AS named
        INNER JOIN arvo.lane ON lane.queue = named.queue
        ORDER BY
            (asked.position + v_start) % cardinality(p_queues),
            lane.priority DESC,
            hashint4extended(lane.lane, v_start)
    LOOP
        EXIT WHEN v_left <= 0;
        v_want := least(v_left, v_quota[v_lane.position]);
        CONTINUE WHEN v_want <= 0;
        EXIT WHEN v_locked >= 544;
        CONTINUE WHEN v_locked >= 32 AND NOT arvo.is_worth_claiming(v_lane.lane);
        CONTINUE WHEN NOT pg_try_advisory_xact_lock(hashtext('arvo'), v_lane.lane);
        v_locked := v_locked + 1;
        RETURN QUERY
        SELECT leased.*
        FROM arvo.claim_lane(v_lane.lane, v_want, left(p_worker, 200), p_lease) AS leased;
        GET DIAGNOSTICS v_got = ROW_COUNT;
        v_left := v_left - v_got;
        v_quota[v_lane.position] := v_quota[v_lane.position] - v_got;
    END LOOP;
END;
$claim$;

COMMENT ON FUNCTION arvo_v1.claim(text[], integer, text, integer[], interval) IS
'Leases deliveries of the named queues, after healing what is due or expired.';

REVOKE ALL ON FUNCTION arvo_v1.claim(text[], integer, text, integer[], interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.claim(text[], integer, text, integer[], interval)
TO arvo_worker;
--! end

DROP FUNCTION arvo_v1.check_out(text);
--! function arvo_v1.check_out
--! end

DROP FUNCTION arvo_v1.check_in(text, text[], interval, jsonb);
--! function arvo_v1.check_in
--! end

DROP FUNCTION arvo_v1.cancel(bigint[], text, text, text, text, text, timestamptz, jsonpath, text, boolean, integer, boolean, text);
--! function arvo_v1.cancel
--! end

--! function arvo_v1.accept_cluster
-- arvo_v1.accept_cluster() — go on in this cluster, which has kept the transaction numbers.
CREATE OR REPLACE FUNCTION arvo_v1.accept_cluster()
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $accept_cluster$
-- For pg_upgrade, which keeps the numbers and changes the cluster's identity. True: accepted; false:
-- there was nothing to accept. Refused where the numbers cannot have been kept, because this cluster
-- has not reached them. It cannot tell every restored dump from an upgrade: that is the caller's word.
--
--   Reads    arvo.origin, arvo.lane, arvo.lease, arvo.promotion, pg_control_system
--   Writes   arvo.origin
--   Locks    nothing
--   Raises   RV902  this cluster has not reached the stored numbers
DECLARE
    v_here bigint := (SELECT control.system_identifier FROM pg_control_system() AS control);
    v_home bigint;
    v_reached xid8;
BEGIN
    SELECT origin.system_identifier INTO v_home
    FROM arvo.origin
    ORDER BY origin.number DESC
    LIMIT 1;
    IF v_home = v_here THEN
        RETURN false;
    END IF;
    SELECT max(known.xmax::text::bigint)::text::xid8 INTO v_reached
    FROM (
        SELECT pg_snapshot_xmax(head.snapshot) AS xmax
        FROM arvo.lane
        CROSS JOIN LATERAL (
            SELECT newest.snapshot
            FROM arvo.lease AS newest
            WHERE newest.lane = lane.lane
            ORDER BY newest.number DESC
            LIMIT 1
        ) AS head
        UNION ALL
        SELECT pg_snapshot_xmax(promotion.snapshot) FROM arvo.promotion
    ) AS known;
    IF pg_snapshot_xmax(pg_current_snapshot()) < v_reached THEN
        RAISE EXCEPTION 'transaction numbers are of another cluster'
        USING ERRCODE = 'RV902',
              DETAIL = format('The rooms were read up to transaction %s; this cluster is at %s.',
                              v_reached, pg_snapshot_xmax(pg_current_snapshot())),
              HINT = 'This is a restored dump, not an upgraded cluster.';
    END IF;
    INSERT INTO arvo.origin (system_identifier) VALUES (v_here);
    RETURN true;
END;
$accept_cluster$;

COMMENT ON FUNCTION arvo_v1.accept_cluster() IS
'After pg_upgrade: says that this cluster has kept the transaction numbers, and work may go on.';

REVOKE ALL ON FUNCTION arvo_v1.accept_cluster() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.accept_cluster() TO arvo_operator;
--! end

DROP FUNCTION arvo.write_lease(arvo.lease, text, interval, arvo.log[], bigint[], bigint[]);
--! function arvo.write_lease
--! end

DROP FUNCTION arvo.would_empty(arvo.queue);
--! function arvo.would_empty
--! end

DROP FUNCTION arvo.withdraw(arvo.queue, arvo.lease, arvo.log[]);
--! function arvo.withdraw
-- arvo.withdraw(lane, token, batch) — close what was withdrawn before it could be claimed.
CREATE OR REPLACE FUNCTION arvo.withdraw(p_lane integer, p_token bigint, p_batch arvo.log[])
RETURNS arvo.log[]
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $withdraw$
-- Those of a freshly leased batch that have a tombstone are closed as cancelled under that lease,
-- and their tombstones are removed. Returns the others, in their order (unnest keeps it).
--
--   Reads    arvo.clock, arvo.slot
--   Writes   arvo.tombstone, arvo.closure
--   Locks    arvo.tombstone rows
--   Raises   nothing
DECLARE
    v_withdrawn bigint[];
BEGIN
    WITH met AS (
        DELETE FROM arvo.tombstone
        WHERE tombstone.lane = p_lane
        AND tombstone.delivery IN (SELECT entry.delivery FROM unnest(p_batch) AS entry)
        RETURNING tombstone.delivery
    )

    SELECT array_agg(met.delivery) INTO v_withdrawn FROM met;
    IF v_withdrawn IS NULL THEN
        RETURN p_batch;
    END IF;

    INSERT INTO arvo.closure (slot, token, at, deliveries, outcomes, run_times)
    VALUES (
        arvo.slot(), p_token, arvo.clock(), v_withdrawn, '{cancelled}',
        array_fill(NULL::integer, ARRAY[cardinality(v_withdrawn)])
    );
    RETURN ARRAY(
        SELECT entry
        FROM unnest(p_batch) AS entry
        WHERE entry.delivery <> ALL (v_withdrawn)
    );
END;
$withdraw$;

COMMENT ON FUNCTION arvo.withdraw(integer, bigint, arvo.log[]) IS
'Closes withdrawn deliveries of a freshly leased batch; returns the others.';

REVOKE ALL ON FUNCTION arvo.withdraw(integer, bigint, arvo.log[]) FROM PUBLIC;
--! end

DROP FUNCTION arvo.with_options(arvo.queue, jsonb, text[]);
--! function arvo.with_options
--! end

DROP FUNCTION arvo.whereabouts();
--! function arvo.whereabouts
--! end

DROP FUNCTION arvo.when_of(jsonb);
--! function arvo.when_of
--! end

DROP FUNCTION arvo.vitals_of_upkeep();
--! function arvo.vitals_of_upkeep
--! end

DROP FUNCTION arvo.vitals_of_server();
--! function arvo.vitals_of_server
--! end

DROP FUNCTION arvo.vitals_of_queues();
--! function arvo.vitals_of_queues
--! end

DROP FUNCTION arvo.vitals_of_history();
--! function arvo.vitals_of_history
--! end

DROP FUNCTION arvo.turn_of(integer, bigint);
--! function arvo.turn_of
--! end

DROP FUNCTION arvo.turn_event_keys();
--! function arvo.turn_event_keys
--! end

DROP FUNCTION arvo.truncate_slot(smallint);
--! function arvo.truncate_slot
--! end

DROP FUNCTION arvo.tally_lanes(integer);
--! function arvo.tally_lanes
--! end

DROP FUNCTION arvo.tally_lane(integer, integer);
--! function arvo.tally_lane
--! end

DROP FUNCTION arvo.take_waiting(arvo.queue, bigint, integer);
--! function arvo.take_waiting
--! end

DROP FUNCTION arvo.take_place(integer, text, bigint, bigint);
--! function arvo.take_place
--! end

DROP FUNCTION arvo.sweep_notes(integer);
--! function arvo.sweep_notes
--! end

DROP FUNCTION arvo.sweep_locks(integer);
--! function arvo.sweep_locks
--! end

DROP FUNCTION arvo.sweep_keys(integer);
--! function arvo.sweep_keys
--! end

DROP FUNCTION arvo.sweep_deferred(integer);
--! function arvo.sweep_deferred
--! end

DROP FUNCTION arvo.sweep(arvo.lease, integer, boolean);
--! function arvo.sweep
-- arvo.sweep(head, most) — take back what expired leases of a lane still hold.
CREATE OR REPLACE FUNCTION arvo.sweep(p_head arvo.lease, p_most integer)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $sweep$
-- p_head is the newest row of the lane; its caller holds the lane. Reads at most p_most rows of the
-- ledger, by their number: looking by expiry would walk every live lease behind the last expired
-- one. An expired lease that somebody is settling or extending at this moment is left to the next
-- sweep. Returns the new lower bound: no older row holds an open delivery.
--
--   Reads    arvo.lease, arvo.closure, arvo.clock
--   Writes   arvo.closure; as arvo.give_back
--   Locks    each expired lease, tried, never waited for
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
    v_open_from bigint;
    v_blocked bigint;
    v_lease record;
    v_open bigint[];
BEGIN
    SELECT coalesce(max(expired.number), p_head.open_from - 1) + 1
    INTO v_open_from
    FROM arvo.lease AS expired
    WHERE expired.lane = p_head.lane
    AND expired.number >= p_head.open_from
    AND expired.number < p_head.open_from + p_most
    AND expired.expires_at <= v_now;

    FOR v_lease IN
        SELECT
            expired.number,
            expired.token,
            expired.deliveries,
            expired.low_xid,
            expired.high_xid
        FROM arvo.lease AS expired
        WHERE expired.lane = p_head.lane
        AND expired.number >= p_head.open_from
        AND expired.number < v_open_from
        AND expired.token <> 0
        AND (
            expired.carried
            OR cardinality(expired.deliveries) > (
                SELECT coalesce(sum(cardinality(closure.deliveries)), 0)
                FROM arvo.closure
                WHERE closure.token = expired.token
            )
        )
        ORDER BY expired.number
    LOOP
        IF NOT pg_try_advisory_xact_lock(arvo.lease_key(v_lease.token)) THEN
            v_blocked := coalesce(v_blocked, v_lease.number);
            CONTINUE;
        END IF;
        -- A heartbeat may have carried it forward since: then the newer row answers for it.
        CONTINUE WHEN EXISTS (
            SELECT
            FROM arvo.lease AS newer
            WHERE newer.token = v_lease.token AND newer.number > v_lease.number
        );
        -- Asked again under the lock: a settlement may have committed since.
        v_open := arvo.open_deliveries(v_lease.token, v_lease.deliveries);
        CONTINUE WHEN v_open = '{}';

        INSERT INTO arvo.closure (slot, token, at, deliveries, outcomes, run_times)
        VALUES (
            arvo.slot(), v_lease.token, v_now, v_open, '{expired}',
            array_fill(NULL::integer, ARRAY[cardinality(v_open)])
        );
        PERFORM arvo.give_back(
            p_head.lane, v_lease.low_xid, v_lease.high_xid, expired.delivery, 'expired',
            jsonb_build_object(
                'name', 'LeaseExpired',
                'message', 'the worker did not report back before its lease expired',
                'stack', NULL
            )
        )
        FROM unnest(v_open) WITH ORDINALITY AS expired (delivery, ordinal)
        ORDER BY expired.ordinal;
    END LOOP;
    RETURN coalesce(v_blocked, v_open_from);
END;
$sweep$;

COMMENT ON FUNCTION arvo.sweep(arvo.lease, integer) IS
'Takes back the open deliveries of a lane''s expired leases; returns the new lower bound.';

REVOKE ALL ON FUNCTION arvo.sweep(arvo.lease, integer) FROM PUBLIC;
--! end

DROP FUNCTION arvo.standing(integer, xid8, bigint);
--! function arvo.standing
--! end

DROP FUNCTION arvo.slot_pins(smallint, timestamptz, integer);
--! function arvo.slot_pins
--! end

DROP FUNCTION arvo.shown(arvo.queue, text);
--! function arvo.shown
--! end

DROP FUNCTION arvo.share_body(arvo.arrival[]);
--! function arvo.share_body
--! end

DROP FUNCTION arvo.schedule_row(arvo.schedule, text);
--! function arvo.schedule_row
--! end

--! function arvo.root_digest
-- arvo.root_digest(digest) — the root of the tree that a workflow belongs to.
CREATE OR REPLACE FUNCTION arvo.root_digest(p_digest bytea)
RETURNS bytea
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $root_digest$
-- Walks up, so it does not matter in which order parents and children were stored. A loop in the
-- parents (impossible by way of events, possible by hand) ends the walk. NULL when unknown.
--
--   Reads    arvo.lineage
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
WITH RECURSIVE ancestor AS (
    SELECT lineage.subject_digest, lineage.parent_digest, 0 AS height
    FROM arvo.lineage
    WHERE lineage.subject_digest = p_digest
    UNION ALL
    SELECT lineage.subject_digest, lineage.parent_digest, ancestor.height + 1
    FROM ancestor
    INNER JOIN arvo.lineage ON lineage.subject_digest = ancestor.parent_digest
) CYCLE subject_digest SET looped USING path

SELECT ancestor.subject_digest
FROM ancestor
WHERE NOT ancestor.looped
ORDER BY ancestor.height DESC
LIMIT 1;
$root_digest$;

COMMENT ON FUNCTION arvo.root_digest(bytea) IS
'Digest of the root of a workflow''s tree; NULL when the workflow is unknown.';

REVOKE ALL ON FUNCTION arvo.root_digest(bytea) FROM PUBLIC;
--! end

DROP FUNCTION arvo.retire_unclaimed(integer);
--! function arvo.retire_unclaimed
--! end

DROP FUNCTION arvo.retire_lanes();
--! function arvo.retire_lanes
--! end

DROP FUNCTION arvo.retire(arvo.queue, arvo.lease, arvo.log[], boolean);
--! function arvo.retire
--! end

DROP FUNCTION arvo.reset_queue(arvo.queue, boolean);
--! function arvo.reset_queue
--! end

DROP FUNCTION arvo.require_time_zone(text);
--! function arvo.require_time_zone
--! end

--! function arvo.require_home
-- arvo.require_home() — refuse to work on another cluster's transaction numbers.
CREATE OR REPLACE FUNCTION arvo.require_home()
RETURNS void
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $require_home$
-- Windows and cursors are made of transaction numbers, which mean nothing in another cluster: after a
-- dump was restored there, deliveries would be passed over without a word.
--
--   Reads    arvo.origin, pg_control_system
--   Writes   nothing
--   Locks    nothing
--   Raises   RV902  the newest origin is another cluster
DECLARE
    v_here bigint := (SELECT control.system_identifier FROM pg_control_system() AS control);
    v_home bigint;
BEGIN
    SELECT origin.system_identifier INTO v_home
    FROM arvo.origin
    ORDER BY origin.number DESC
    LIMIT 1;
    IF v_home IS DISTINCT FROM v_here THEN
        RAISE EXCEPTION 'transaction numbers are of another cluster'
        USING ERRCODE = 'RV902',
              DETAIL = format('They are of cluster %s; this is %s.', v_home, v_here),
              HINT = 'After pg_upgrade, which keeps the numbers, call accept_cluster() as operator.'
                     ' After a dump was restored do not: what waits in its queues would be lost.';
    END IF;
END;
$require_home$;

COMMENT ON FUNCTION arvo.require_home() IS
'Raises RV902 unless the stored transaction numbers are of this cluster.';

REVOKE ALL ON FUNCTION arvo.require_home() FROM PUBLIC;
--! end

DROP FUNCTION arvo.release_key(integer, bigint, bigint);
--! function arvo.release_key
--! end

DROP FUNCTION arvo.relay(arvo.finding, integer);
--! function arvo.relay
--! end

DROP FUNCTION arvo.recheck(arvo.finding);
--! function arvo.recheck
--! end

DROP FUNCTION arvo.rebuild_turns(arvo.queue);
--! function arvo.rebuild_turns
--! end

DROP FUNCTION arvo.rebase_queued(bigint, boolean, bigint);
--! function arvo.rebase_queued
--! end

DROP FUNCTION arvo.rebase_parked();
--! function arvo.rebase_parked
--! end

DROP FUNCTION arvo.rebase_leased();
--! function arvo.rebase_leased
--! end

DROP FUNCTION arvo.rebase_deferred(bigint);
--! function arvo.rebase_deferred
--! end

DROP FUNCTION arvo.read_window(arvo.lease, integer, pg_snapshot);
--! function arvo.read_window
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
        CASE
            WHEN given.lease ~ '^[0-9]{1,18}$' THEN given.lease::bigint
            ELSE arvo.as_bigint(listed.item -> 'lease')
        END AS lease,
        CASE
            WHEN given.delivery ~ '^[0-9]{1,18}$' THEN given.delivery::bigint
            ELSE arvo.as_bigint(listed.item -> 'delivery')
        END AS delivery,
        given.outcome AS asked,
        given.events,
        given.state,
        given.error,
        given.after,
        CASE WHEN given.run_time ~ '^[0-9]{1,10}$' THEN given.run_time::bigint END AS run_time
    FROM jsonb_array_elements(p_results) WITH ORDINALITY AS listed (item, ordinal)
    CROSS JOIN LATERAL jsonb_to_record(
        CASE WHEN jsonb_typeof(listed.item) = 'object' THEN listed.item ELSE '{}' END
    ) AS given (
        lease text, delivery text, outcome text, events jsonb, state jsonb, error jsonb,
        after jsonb, run_time text
    )
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

DROP FUNCTION arvo.read_options(jsonb);
--! function arvo.read_options
--! end

DROP FUNCTION arvo.read_dead_filter(bigint[], text, text, timestamptz, timestamptz, text, text, jsonpath, text, integer, boolean);
--! function arvo.read_dead_filter
--! end

DROP FUNCTION arvo.rate_wait(bigint[], interval, timestamptz);
--! function arvo.rate_wait
--! end

DROP FUNCTION arvo.rate_room(bigint[], integer, interval, timestamptz);
--! function arvo.rate_room
--! end

DROP FUNCTION arvo.rate_count(bigint[], integer, interval, timestamptz);
--! function arvo.rate_count
--! end

DROP FUNCTION arvo.queues_named(text);
--! function arvo.queues_named
--! end

DROP FUNCTION arvo.put_turns(arvo.queue, arvo.turn[]);
--! function arvo.put_turns
--! end

DROP FUNCTION arvo.put_turn(arvo.queue, arvo.turn);
--! function arvo.put_turn
--! end

DROP FUNCTION arvo.put_off(arvo.queue, arvo.turn, arvo.log);
--! function arvo.put_off
--! end

--! function arvo.promote
-- arvo.promote(limit) — move what has become due into the log.
CREATE OR REPLACE FUNCTION arvo.promote(p_limit integer DEFAULT 1000)
RETURNS integer
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $promote$
-- One promoter at a time, for all lanes; whoever finds it busy goes on without. A cursor remembers a
-- due time and a snapshot. Due now are: rows behind the cursor's time, and rows before it that were
-- not yet visible to its snapshot (they were written late, or into the past). Nothing is deleted
-- here, so no scan ever walks over dead rows. Returns how many were promoted.
--
--   Reads    arvo.promotion, arvo.deferred, arvo.clock, arvo.slot
--   Writes   arvo.log, arvo.promotion, arvo.dead; as arvo.notice_unroutable
--   Locks    the promoter's lock, tried, never waited for
--   Raises   nothing
DECLARE
    v_now timestamptz;
    v_head arvo.promotion;
    v_snapshot pg_snapshot;
    v_late xid8[];
    v_unseen boolean;
    v_due timestamptz;
    v_delivery bigint;
    v_promoted integer;
    v_lanes integer[];
    v_unroutable arvo_v1.dispatched[];
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtext('arvo'), 0) THEN
        RETURN 0;
    END IF;
    v_now := arvo.clock();
    v_snapshot := arvo.window_snapshot();
    SELECT head.* INTO STRICT v_head
    FROM arvo.promotion AS head
    ORDER BY head.number DESC
    LIMIT 1;
    SELECT coalesce(array_agg(listed.xid), '{}') INTO v_late
    FROM pg_snapshot_xip(v_head.snapshot) AS listed (xid)
    WHERE pg_visible_in_snapshot(listed.xid, v_snapshot);

    -- Nearly always there is nothing to do: find that out by three probes of an index.
    v_unseen := EXISTS (
        SELECT
        FROM arvo.deferred
        WHERE (deferred.xid, deferred.delivery) >= (pg_snapshot_xmax(v_head.snapshot), 0)
        AND deferred.xid < pg_snapshot_xmax(v_snapshot)
        AND pg_visible_in_snapshot(deferred.xid, v_snapshot)
    ) OR EXISTS (
        SELECT
        FROM unnest(v_late) AS listed (xid)
        INNER JOIN arvo.deferred ON deferred.xid = listed.xid
    );
    IF NOT v_unseen AND NOT EXISTS (
        SELECT
        FROM arvo.deferred
        WHERE (deferred.due, deferred.delivery) > (v_head.due, v_head.delivery)
        AND deferred.due <= v_now
    ) THEN
        -- The range of unseen transactions must not grow for ever.
        IF pg_snapshot_xmax(v_snapshot)::text::bigint
            - pg_snapshot_xmax(v_head.snapshot)::text::bigint > 1000
        THEN
            INSERT INTO arvo.promotion (number, due, delivery, snapshot, promoted, at)
            VALUES (v_head.number + 1, v_head.due, v_head.delivery, v_snapshot, 0, v_now);
        END IF;
        RETURN 0;
    END IF;

    SELECT deferred.due, deferred.delivery INTO v_due, v_delivery
    FROM arvo.deferred
    WHERE (deferred.due, deferred.delivery) > (v_head.due, v_head.delivery)
    AND deferred.due <= v_now
    ORDER BY deferred.due, deferred.delivery
    OFFSET p_limit - 1
    LIMIT 1;
    IF NOT FOUND THEN
        v_due := greatest(v_now, v_head.due);
        v_delivery := CASE WHEN v_due = v_head.due THEN v_head.delivery ELSE 0 END;
        IF v_due = v_now THEN
            v_delivery := 9223372036854775807;
        END IF;
    END IF;

    WITH newly_due AS (
        SELECT deferred.*
        FROM arvo.deferred
        WHERE (deferred.due, deferred.delivery) > (v_head.due, v_head.delivery)
        AND (deferred.due, deferred.delivery) <= (v_due, v_delivery)
        AND pg_visible_in_snapshot(deferred.xid, v_snapshot)
    ),

    newly_seen AS MATERIALIZED (
        SELECT deferred.*
        FROM arvo.deferred
        WHERE (deferred.xid, deferred.delivery) >= (pg_snapshot_xmax(v_head.snapshot), 0)
        AND deferred.xid < pg_snapshot_xmax(v_snapshot)
        AND pg_visible_in_snapshot(deferred.xid, v_snapshot)
    ),

    late AS MATERIALIZED (
        SELECT entry.*
        FROM unnest(v_late) AS listed (xid)
        CROSS JOIN LATERAL (
            SELECT deferred.* FROM arvo.deferred WHERE deferred.xid = listed.xid
        ) AS entry
    ),

    due AS MATERIALIZED (
        SELECT newly_due.* FROM newly_due
        UNION ALL
        SELECT newly_seen.* FROM newly_seen
        WHERE (newly_seen.due, newly_seen.delivery) <= (v_head.due, v_head.delivery)
        UNION ALL
        SELECT late.* FROM late
        WHERE (late.due, late.delivery) <= (v_head.due, v_head.delivery)
    ),

    logged AS (
        INSERT INTO arvo.log (
            slot, lane, delivery, attempt, at, subject_key, event_key,
            origin_delivery, origin_lane, origin_xid, event, cause
        )
        SELECT
            arvo.slot(), due.lane, due.delivery, due.attempt, v_now, due.subject_key,
            due.event_key, due.origin_delivery, due.origin_lane, due.origin_xid, due.event,
            due.cause
        FROM due
        ORDER BY due.due, due.delivery
        RETURNING log.lane, log.delivery, log.cause
    ),

    dead_letters AS (
        UPDATE arvo.dead
        SET dead_letter_xid = pg_current_xact_id()
        FROM due
        WHERE dead.dead_letter_lane = due.lane
        AND dead.dead_letter_delivery = due.delivery
        AND dead.resolution IS NULL
    )

    SELECT
        count(*)::integer,
        array_agg(DISTINCT logged.lane),
        array_agg(
            (0, NULL, logged.delivery, queue.name, 'unroutable')::arvo_v1.dispatched
            ORDER BY logged.delivery
        ) FILTER (WHERE logged.cause IS NULL AND NOT queue.registered)
    INTO v_promoted, v_lanes, v_unroutable
    FROM logged
    INNER JOIN arvo.lane ON lane.lane = logged.lane
    INNER JOIN arvo.queue ON queue.queue = lane.queue;
    PERFORM arvo.notice_unroutable(v_unroutable);

    PERFORM arvo.wake(array_agg(queue.name))
    FROM arvo.lane
    INNER JOIN arvo.queue ON queue.queue = lane.queue
    WHERE lane.lane = ANY (v_lanes);

    INSERT INTO arvo.promotion (number, due, delivery, snapshot, promoted, at)
    VALUES (v_head.number + 1, v_due, v_delivery, v_snapshot, v_promoted, v_now);
    RETURN v_promoted;
END;
$promote$;

COMMENT ON FUNCTION arvo.promote(integer) IS
'Moves due deliveries from deferred into the log; returns how many.';

REVOKE ALL ON FUNCTION arvo.promote(integer) FROM PUBLIC;
--! end

DROP FUNCTION arvo.place_holder(integer, text, bigint);
--! function arvo.place_holder
--! end

DROP FUNCTION arvo.pass_turns(arvo.queue, arvo.result[]);
--! function arvo.pass_turns
--! end

DROP FUNCTION arvo.pass_on(arvo.result[]);
--! function arvo.pass_on
--! end

DROP FUNCTION arvo.pass_numbers(bigint);
--! function arvo.pass_numbers
--! end

DROP FUNCTION arvo.pace_of(integer);
--! function arvo.pace_of
--! end

DROP FUNCTION arvo.order_results(arvo.result[]);
--! function arvo.order_results
--! end

DROP FUNCTION arvo.options_with(jsonb, interval, integer);
--! function arvo.options_with
--! end

DROP FUNCTION arvo.option_fault(arvo.queue);
--! function arvo.option_fault
--! end

DROP FUNCTION arvo.open_leases(integer);
--! function arvo.open_leases
--! end

DROP FUNCTION arvo.open_generation();
--! function arvo.open_generation
--! end

DROP FUNCTION arvo.open_event_keys(bigint);
--! function arvo.open_event_keys
--! end

DROP FUNCTION arvo.numbers_end();
--! function arvo.numbers_end
--! end

--! function arvo.notice_unroutable
-- arvo.notice_unroutable(accepted) — tell the listener for unroutable events, if there is one.
CREATE OR REPLACE FUNCTION arvo.notice_unroutable(p_accepted arvo_v1.dispatched[])
RETURNS integer
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $notice_unroutable$
-- An event whose destination nobody has registered waits in that destination's own queue. When the
-- queue arvo.unroutable is registered, the event is delivered there too, as a notice: the body is
-- not written again. Returns how many notices were written. The events have just been appended or
-- promoted by this transaction; p_accepted needs their deliveries and queues only.
--
--   Reads    arvo.queue, arvo.lane, arvo.log by (lane, xid, delivery), arvo.clock, arvo.slot
--   Writes   arvo.log
--   Locks    as arvo.lane_for
--   Raises   nothing
DECLARE
    v_notices integer := 0;
    v_lane integer;
BEGIN
    IF NOT EXISTS (
        SELECT FROM unnest(p_accepted) AS accepted WHERE accepted.outcome = 'unroutable'
    ) OR NOT EXISTS (
        SELECT FROM arvo.queue WHERE queue.name = 'arvo.unroutable' AND queue.registered
    ) THEN
        RETURN 0;
    END IF;
    v_lane := arvo.lane_for('arvo.unroutable');

    INSERT INTO arvo.log (
        slot, lane, delivery, attempt, at, subject_key, event_key,
        origin_delivery, origin_lane, origin_xid, cause
    )
    SELECT
        arvo.slot(),
        v_lane,
        nextval('arvo.delivery_number'::regclass),
        1,
        arvo.clock(),
        entry.subject_key,
        entry.event_key,
        entry.delivery,
        entry.lane,
        entry.xid,
        jsonb_build_object(
            'outcome', 'unroutable',
            'queue', accepted.queue,
            'delivery', accepted.delivery
        )
    FROM unnest(p_accepted) AS accepted
    INNER JOIN arvo.queue ON queue.name = accepted.queue
    INNER JOIN arvo.lane ON lane.queue = queue.queue
    INNER JOIN arvo.log AS entry
        ON entry.lane = lane.lane
        AND entry.xid = pg_current_xact_id()
        AND entry.delivery = accepted.delivery
    WHERE accepted.outcome = 'unroutable'
    ORDER BY accepted.ordinal;
    GET DIAGNOSTICS v_notices = ROW_COUNT;
    PERFORM arvo.wake(ARRAY['arvo.unroutable']);
    RETURN v_notices;
END;
$notice_unroutable$;

COMMENT ON FUNCTION arvo.notice_unroutable(arvo_v1.dispatched[]) IS
'Delivers notices of unroutable events to the queue arvo.unroutable, when it is registered.';

REVOKE ALL ON FUNCTION arvo.notice_unroutable(arvo_v1.dispatched[]) FROM PUBLIC;
--! end

DROP FUNCTION arvo.note_operation(text, text, jsonb, bigint);
--! function arvo.note_operation
--! end

DROP FUNCTION arvo.note_key(bigint, integer, bytea, interval, bigint, timestamptz);
--! function arvo.note_key
--! end

DROP FUNCTION arvo.no_taking(bigint);
--! function arvo.no_taking
--! end

DROP FUNCTION arvo.next_room(text[]);
--! function arvo.next_room
--! end

DROP FUNCTION arvo.next_fire();
--! function arvo.next_fire
--! end

--! function arvo.next_due
-- arvo.next_due() — how long until something deferred becomes due.
CREATE OR REPLACE FUNCTION arvo.next_due()
RETURNS interval
LANGUAGE sql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $next_due$
-- For a worker that has nothing to do: it need not poll before then. Never negative; NULL when
-- nothing is deferred. Rows that the promotion has passed are not looked at.
--
--   Reads    arvo.promotion, arvo.deferred by due time, arvo.clock
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT greatest(waiting.due - arvo.clock(), interval '0')
FROM (
    SELECT head.due, head.delivery
    FROM arvo.promotion AS head
    ORDER BY head.number DESC
    LIMIT 1
) AS passed
CROSS JOIN LATERAL (
    SELECT deferred.due
    FROM arvo.deferred
    WHERE (deferred.due, deferred.delivery) > (passed.due, passed.delivery)
    ORDER BY deferred.due, deferred.delivery
    LIMIT 1
) AS waiting;
$next_due$;

COMMENT ON FUNCTION arvo.next_due() IS
'How long until a deferred delivery becomes due; NULL when there is none.';

REVOKE ALL ON FUNCTION arvo.next_due() FROM PUBLIC;
--! end

DROP FUNCTION arvo.moved(arvo.lease, arvo.reading);
--! function arvo.moved
--! end

DROP FUNCTION arvo.move_idle(smallint, integer);
--! function arvo.move_idle
--! end

DROP FUNCTION arvo.move_cursor(arvo.lease, bigint, timestamptz);
--! function arvo.move_cursor
--! end

DROP FUNCTION arvo.merge_patch(jsonb, jsonb);
--! function arvo.merge_patch
--! end

DROP FUNCTION arvo.mark_throttled(arvo.arrival[], arvo.options);
--! function arvo.mark_throttled
--! end

DROP FUNCTION arvo.mark_duplicates(arvo.arrival[]);
--! function arvo.mark_duplicates
--! end

DROP FUNCTION arvo.lock_lanes(integer[]);
--! function arvo.lock_lanes
--! end

DROP FUNCTION arvo.let_go(arvo.log);
--! function arvo.let_go
--! end

DROP FUNCTION arvo.leave_queued(arvo.queue, arvo.log[]);
--! function arvo.leave_queued
--! end

DROP FUNCTION arvo.leave_places(arvo.queue, arvo.lease, bigint[]);
--! function arvo.leave_places
--! end

DROP FUNCTION arvo.lease_of(integer, xid8, bigint);
--! function arvo.lease_of
--! end

DROP FUNCTION arvo.lease_item(arvo.lease, integer, text);
--! function arvo.lease_item
--! end

DROP FUNCTION arvo.lease_and_close(arvo.lease, arvo.reading);
--! function arvo.lease_and_close
--! end

DROP FUNCTION arvo.lanes_of(integer);
--! function arvo.lanes_of
--! end

DROP FUNCTION arvo.lanes_named(text);
--! function arvo.lanes_named
--! end

--! function arvo.lane_for
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
--   Reads    arvo.queue, arvo.lane, arvo.clock, arvo.slot
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
        INSERT INTO arvo.queue (name, created_at, changed_at)
        VALUES (p_queue, arvo.clock(), arvo.clock())
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
    WHERE lane.queue = v_queue AND lane.priority = v_priority;

    IF NOT FOUND THEN
        -- Every lane costs each claim a look: a queue has a handful of priorities, not a thousand.
        -- Its own priority is always there to be had: else whoever may dispatch could use up a name
        -- before it is registered.
        IF v_priority <> v_own
            AND (
                SELECT count(*)
                FROM arvo.lane
                WHERE lane.queue = v_queue AND lane.priority <> v_own
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
            WHERE lane.queue = v_queue AND lane.priority = v_own;
            RETURN v_lane;
        END IF;
        INSERT INTO arvo.lane (queue, priority)
        VALUES (v_queue, v_priority)
        ON CONFLICT (queue, priority) DO NOTHING
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
            WHERE lane.queue = v_queue AND lane.priority = v_priority;
        END IF;
    END IF;
    RETURN v_lane;
END;
$lane_for$;

COMMENT ON FUNCTION arvo.lane_for(text, integer) IS
'Number of the lane for a queue and priority; makes queue and lane when they are missing.';

REVOKE ALL ON FUNCTION arvo.lane_for(text, integer) FROM PUBLIC;
--! end

DROP FUNCTION arvo.known_queue(text, text);
--! function arvo.known_queue
--! end

DROP FUNCTION arvo.known_keys(integer, integer[], bytea[]);
--! function arvo.known_keys
--! end

DROP FUNCTION arvo.key_room(arvo.queue, arvo.turn);
--! function arvo.key_room
--! end

DROP FUNCTION arvo.key_of(text);
--! function arvo.key_of
--! end

DROP FUNCTION arvo.key_in(jsonb, text);
--! function arvo.key_in
--! end

DROP FUNCTION arvo.key_for(arvo.queue, arvo.log);
--! function arvo.key_for
--! end

DROP FUNCTION arvo.keeps_place(arvo.finding);
--! function arvo.keeps_place
--! end

--! function arvo.judge_results
-- arvo.judge_results(items) — which results are the holder's to report.
CREATE OR REPLACE FUNCTION arvo.judge_results(p_items arvo.result[])
RETURNS arvo.result[]
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $judge_results$
-- Fills in where each lease's deliveries stand, and refuses (RV301) or answers "already" what is not
-- open under the lease named. What ended in a conflict took no effect, also when it is asked about
-- again: "already", with code RV101. The caller holds the leases' locks.
--
--   Reads    arvo.lease and arvo.closure, by token
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
WITH item AS MATERIALIZED (
    SELECT listed.* FROM unnest(p_items) AS listed
),

held AS MATERIALIZED (
    SELECT newest.*
    FROM (SELECT DISTINCT item.lease FROM item WHERE item.verdict IS NULL) AS named
    CROSS JOIN LATERAL (
        SELECT lease.token, lease.lane, lease.low_xid, lease.high_xid, lease.deliveries
        FROM arvo.lease
        WHERE lease.token = named.lease AND lease.token <> 0
        ORDER BY lease.number DESC
        LIMIT 1
    ) AS newest
),

closed AS MATERIALIZED (
    SELECT
        held.token,
        gone.delivery,
        closure.outcomes[least(gone.ordinal, cardinality(closure.outcomes))] AS outcome
    FROM held
    INNER JOIN arvo.closure ON closure.token = held.token
    CROSS JOIN LATERAL
        unnest(closure.deliveries) WITH ORDINALITY AS gone (delivery, ordinal)
),

judged AS (
    SELECT
        item.*,
        held.lane AS held_lane,
        held.low_xid AS held_low_xid,
        held.high_xid AS held_high_xid,
        closed.outcome AS closed_outcome,
        CASE
            WHEN item.verdict IS NOT NULL THEN item.verdict
            WHEN closed.outcome NOT IN ('expired', 'cancelled') THEN 'already'
            WHEN closed.outcome IS NOT NULL OR held.token IS NULL
                OR item.delivery <> ALL (held.deliveries) THEN 'refused'
        END AS judgement
    FROM item
    LEFT JOIN held ON held.token = item.lease AND item.verdict IS NULL
    LEFT JOIN closed
        ON closed.token = item.lease AND closed.delivery = item.delivery AND item.verdict IS NULL
)

SELECT array_agg(
    (
        judged.ordinal,
        judged.lease,
        judged.delivery,
        judged.asked,
        judged.events,
        judged.state,
        judged.error,
        judged.after,
        judged.run_time,
        judged.held_lane,
        judged.held_low_xid,
        judged.held_high_xid,
        judged.judgement,
        CASE
            WHEN judged.judgement = 'refused' THEN coalesce(judged.code, 'RV301')
            WHEN judged.closed_outcome = 'conflict' THEN 'RV101'
        END,
        CASE
            WHEN judged.judgement = 'refused' THEN coalesce(
                judged.detail,
                format('delivery %s is not held under lease %s', judged.delivery, judged.lease)
            )
            WHEN judged.closed_outcome = 'conflict' THEN
                'version mismatch: the state had moved on when this was settled before'
        END,
        NULL
    )::arvo.result
    ORDER BY judged.ordinal
)
FROM judged;
$judge_results$;

COMMENT ON FUNCTION arvo.judge_results(arvo.result[]) IS
'Refuses results whose delivery is not open under the lease that they name.';

REVOKE ALL ON FUNCTION arvo.judge_results(arvo.result[]) FROM PUBLIC;
--! end

--! function arvo.is_worth_claiming
-- arvo.is_worth_claiming(lane) — whether a claim of a lane can find something to do.
CREATE OR REPLACE FUNCTION arvo.is_worth_claiming(p_lane integer)
RETURNS boolean
LANGUAGE sql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $is_worth_claiming$
-- Looks without the lane's lock, so that a claim over very many lanes need not lock the idle ones.
-- False only when the newest window has been read to its end, nothing has been committed since, and
-- no lease can have lapsed. Rows of the caller's own transaction may answer true for nothing.
--
--   Reads    arvo.lease by (lane, number), arvo.log by (lane, xid), arvo.clock
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT
    NOT head.exhausted
    OR head.sweep_at <= arvo.clock()
    OR EXISTS (
        SELECT
        FROM arvo.log AS entry
        WHERE entry.lane = p_lane AND entry.xid >= pg_snapshot_xmax(head.snapshot)
    )
    OR EXISTS (
        SELECT
        FROM pg_snapshot_xip(head.snapshot) AS late (xid)
        INNER JOIN arvo.log AS entry ON entry.lane = p_lane AND entry.xid = late.xid
    )
FROM (
    SELECT newest.exhausted, newest.sweep_at, newest.snapshot
    FROM arvo.lease AS newest
    WHERE newest.lane = p_lane
    ORDER BY newest.number DESC
    LIMIT 1
) AS head;
$is_worth_claiming$;

COMMENT ON FUNCTION arvo.is_worth_claiming(integer) IS
'Whether a lane has unread deliveries or a lease that may have lapsed; looks without its lock.';

REVOKE ALL ON FUNCTION arvo.is_worth_claiming(integer) FROM PUBLIC;
--! end

DROP FUNCTION arvo.is_wanted(jsonb, text, text, text[], jsonpath, text);
--! function arvo.is_wanted
--! end

DROP FUNCTION arvo.is_time_zone(text);
--! function arvo.is_time_zone
--! end

DROP FUNCTION arvo.home_lane(integer);
--! function arvo.home_lane
--! end

DROP FUNCTION arvo.hold_queue(integer);
--! function arvo.hold_queue
--! end

DROP FUNCTION arvo.hold(arvo.finding[]);
--! function arvo.hold
--! end

DROP FUNCTION arvo.heal_lanes(integer);
--! function arvo.heal_lanes
--! end

DROP FUNCTION arvo.heal(arvo.lease);
--! function arvo.heal
--! end

DROP FUNCTION arvo.head_of(integer);
--! function arvo.head_of
--! end

--! function arvo.has_own
-- arvo.has_own(queues) — whether this transaction has appended to some queues.
CREATE OR REPLACE FUNCTION arvo.has_own(p_queues text[])
RETURNS boolean
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $has_own$
-- A claim cannot hand out what its own transaction has promoted, taken back or emitted: to its
-- window those rows are still open. The next claim can. A name that ends in * stands for every queue
-- that begins so.
--
--   Reads    arvo.queue, arvo.lane, arvo.log by (lane, xid)
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_own xid8 := pg_current_xact_id_if_assigned();
BEGIN
    RETURN v_own IS NOT NULL AND EXISTS (
        SELECT
        FROM unnest(p_queues) AS asked (name)
        INNER JOIN arvo.queue
            ON queue.name = asked.name
            OR (asked.name LIKE '%*' AND starts_with(queue.name, left(asked.name, -1)))
        INNER JOIN arvo.lane ON lane.queue = queue.queue
        INNER JOIN arvo.log ON log.lane = lane.lane AND log.xid = v_own
    );
END;
$has_own$;

COMMENT ON FUNCTION arvo.has_own(text[]) IS
'Whether this transaction has appended deliveries to the named queues.';

REVOKE ALL ON FUNCTION arvo.has_own(text[]) FROM PUBLIC;
--! end

DROP FUNCTION arvo.has_new_rules(arvo.queue, arvo.queue);
--! function arvo.has_new_rules
--! end

DROP FUNCTION arvo.hand_out(arvo.queue, arvo.lease, arvo.log[]);
--! function arvo.hand_out
--! end

DROP FUNCTION arvo.grasp_dead(bigint[], boolean);
--! function arvo.grasp_dead
--! end

DROP FUNCTION arvo.give_back(arvo.result, arvo.queue);
--! function arvo.give_back
-- arvo.give_back(lane, range, delivery, outcome, error, after) — what becomes of a delivery that did not complete.
CREATE OR REPLACE FUNCTION arvo.give_back(
    p_lane integer,
    p_low_xid xid8,
    p_high_xid xid8,
    p_delivery bigint,
    p_outcome text,
    p_error jsonb DEFAULT NULL,
    p_after interval DEFAULT NULL
)
RETURNS text
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $give_back$
-- One place decides: retry with back-off, dead letter, or back without charging the attempt.
--
--   p_outcome   what happened                        what follows
--   failed      the handler raised                   retried while attempts are left, else dead
--   expired     the lease lapsed                     the same; dead with reason lease_expired
--   rejected    the handler says: never again        dead
--   released    the worker could not run it          again, same attempt
--   snoozed     the handler says: later              again after p_after, same attempt
--   conflict    the state had moved on               again, same attempt; charged from the 100th on
--
-- Returns the outcome for the journal: retried, dead, released, snoozed or conflict.
--
--   Reads    arvo.log by (lane, xid, delivery), arvo.queue, arvo.lane, arvo.clock
--   Writes   arvo.log or arvo.deferred or arvo.dead
--   Locks    as arvo.bury
--   Raises   RV901  the delivery is not in the log
DECLARE
    v_entry arvo.log;
    v_queue arvo.queue;
    v_cause jsonb;
    v_conflicts integer;
    v_after interval;
BEGIN
    SELECT entry.* INTO v_entry
    FROM arvo.log AS entry
    WHERE entry.lane = p_lane
    AND entry.xid >= p_low_xid
    AND entry.xid <= p_high_xid
    AND entry.delivery = p_delivery;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'a leased delivery is not in the log'
        USING ERRCODE = 'RV901',
              DETAIL = format('lane %s, delivery %s', p_lane, p_delivery),
              HINT = 'Please report this: it should be impossible.';
    END IF;
    SELECT queue.* INTO STRICT v_queue
    FROM arvo.lane
    INNER JOIN arvo.queue ON queue.queue = lane.queue
    WHERE lane.lane = p_lane;

    v_cause := coalesce(v_entry.cause, '{}'::jsonb) || jsonb_build_object(
        'delivery', v_entry.delivery,
        'outcome', p_outcome,
        'error', p_error
    );

    IF p_outcome = 'released' THEN
        PERFORM arvo.again(v_entry, v_entry.attempt, NULL, v_cause);
        RETURN 'released';
    ELSIF p_outcome = 'snoozed' THEN
        PERFORM arvo.again(v_entry, v_entry.attempt, p_after, v_cause);
        RETURN 'snoozed';
    ELSIF p_outcome = 'conflict' THEN
        v_conflicts := coalesce((v_cause ->> 'conflicts')::integer, 0) + 1;
        IF v_conflicts < 100 THEN
            PERFORM arvo.again(
                v_entry, v_entry.attempt, NULL,
                v_cause || jsonb_build_object('conflicts', v_conflicts)
            );
            RETURN 'conflict';
        END IF;
    ELSIF p_outcome = 'rejected' THEN
        PERFORM arvo.bury(v_entry, v_queue, 'rejected', p_error);
        RETURN 'dead';
    END IF;

    IF v_entry.attempt > v_queue.retry_limit THEN
        PERFORM arvo.bury(
            v_entry,
            v_queue,
            CASE WHEN p_outcome = 'expired' THEN 'lease_expired' ELSE 'failed' END,
            p_error
        );
        RETURN 'dead';
    END IF;

    v_after := coalesce(
        p_after,
        arvo.retry_delay(
            v_queue.retry_delay, v_queue.retry_backoff, v_queue.retry_delay_max,
            v_entry.attempt, random()
        )
    );
    PERFORM arvo.again(v_entry, v_entry.attempt + 1, v_after, v_cause - 'conflicts');
    RETURN 'retried';
END;
$give_back$;

COMMENT ON FUNCTION arvo.give_back(integer, xid8, xid8, bigint, text, jsonb, interval) IS
'Decides what becomes of a delivery that did not complete: retry, dead letter, or back uncharged.';

REVOKE ALL ON FUNCTION
arvo.give_back(integer, xid8, xid8, bigint, text, jsonb, interval) FROM PUBLIC;
--! end

DROP FUNCTION arvo.generation_pins(integer);
--! function arvo.generation_pins
--! end

DROP FUNCTION arvo.frontier_of(pg_snapshot, pg_snapshot, xid8, bigint, boolean);
--! function arvo.frontier_of
--! end

DROP FUNCTION arvo.fresh_subject(text, text, text, text, text, text);
--! function arvo.fresh_subject
--! end

DROP FUNCTION arvo.freeze_slot(smallint);
--! function arvo.freeze_slot
--! end

DROP FUNCTION arvo.free_places(integer, text, bigint[], bigint[]);
--! function arvo.free_places
--! end

DROP FUNCTION arvo.forget_workers(interval);
--! function arvo.forget_workers
--! end

DROP FUNCTION arvo.forget_slot(smallint);
--! function arvo.forget_slot
--! end

DROP FUNCTION arvo.forget_keys(arvo.arrival[]);
--! function arvo.forget_keys
--! end

DROP FUNCTION arvo.first_unclaimed(arvo.lease, integer, integer);
--! function arvo.first_unclaimed
--! end

DROP FUNCTION arvo.first_of(arvo.log);
--! function arvo.first_of
--! end

DROP FUNCTION arvo.fire_schedules();
--! function arvo.fire_schedules
--! end

DROP FUNCTION arvo.fire_schedule(arvo.schedule, tid, timestamptz);
--! function arvo.fire_schedule
--! end

DROP FUNCTION arvo.fire_floor(timestamptz);
--! function arvo.fire_floor
--! end

DROP FUNCTION arvo.fire_event(arvo.schedule, timestamptz, timestamptz);
--! function arvo.fire_event
--! end

DROP FUNCTION arvo.finish_generations();
--! function arvo.finish_generations
--! end

DROP FUNCTION arvo.finish(arvo.queue, arvo.lease, bigint[]);
--! function arvo.finish
--! end

DROP FUNCTION arvo.find_logged(bigint);
--! function arvo.find_logged
--! end

DROP FUNCTION arvo.find_deliveries(bigint[], text, text, text, text, text, timestamptz, jsonpath, text, text[], integer, integer[]);
--! function arvo.find_deliveries
--! end

DROP FUNCTION arvo.find_dead(arvo.dead_filter, bigint, integer, boolean);
--! function arvo.find_dead
--! end

DROP FUNCTION arvo.fail_schedule(arvo.schedule, tid, timestamptz, text, text, text);
--! function arvo.fail_schedule
--! end

DROP FUNCTION arvo.explain_queue(arvo.queue);
--! function arvo.explain_queue
--! end

DROP FUNCTION arvo.explain_place(arvo.queue, arvo.log);
--! function arvo.explain_place
--! end

DROP FUNCTION arvo.explain_claimed(arvo.log);
--! function arvo.explain_claimed
--! end

DROP FUNCTION arvo.expire_parked(integer);
--! function arvo.expire_parked
--! end

DROP FUNCTION arvo.event_digest(jsonb);
--! function arvo.event_digest
--! end

DROP FUNCTION arvo.entomb(arvo.log, text);
--! function arvo.entomb
--! end

DROP FUNCTION arvo.empty_queue(arvo.queue, bigint);
--! function arvo.empty_queue
--! end

DROP FUNCTION arvo.empty_generation();
--! function arvo.empty_generation
--! end

DROP FUNCTION arvo.empty_event_keys(integer);
--! function arvo.empty_event_keys
--! end

DROP FUNCTION arvo.disagreements(text);
--! function arvo.disagreements
--! end

DROP FUNCTION arvo.delete_after();
--! function arvo.delete_after
--! end

DROP FUNCTION arvo.dead_fits(arvo.dead, arvo.dead_filter);
--! function arvo.dead_fits
--! end

DROP FUNCTION arvo.cron_rules(arvo.cron, text, text);
--! function arvo.cron_rules
--! end

DROP FUNCTION arvo.cron_parse(text);
--! function arvo.cron_parse
--! end

DROP FUNCTION arvo.cron_next(arvo.cron, text, timestamptz, text, text);
--! function arvo.cron_next
--! end

DROP FUNCTION arvo.cron_match(arvo.cron, timestamp, timestamp);
--! function arvo.cron_match
--! end

DROP FUNCTION arvo.cron_last(arvo.cron, text, timestamptz, timestamptz, text, text);
--! function arvo.cron_last
--! end

DROP FUNCTION arvo.cron_field(text, text, integer, integer, text[]);
--! function arvo.cron_field
--! end

DROP FUNCTION arvo.count_unread(arvo.lease, integer, pg_snapshot);
--! function arvo.count_unread
--! end

DROP FUNCTION arvo.count_passed(arvo.tally, arvo.lease);
--! function arvo.count_passed
--! end

DROP FUNCTION arvo.count_leased(integer);
--! function arvo.count_leased
--! end

DROP FUNCTION arvo.count_lane(arvo.lease, arvo.tally, pg_snapshot, integer);
--! function arvo.count_lane
--! end

DROP FUNCTION arvo.close_put_off(arvo.lease, arvo.log[], bigint[]);
--! function arvo.close_put_off
--! end

DROP FUNCTION arvo.close_lanes();
--! function arvo.close_lanes
--! end

DROP FUNCTION arvo.clock_change(text, timestamptz, timestamptz);
--! function arvo.clock_change
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
--   Writes   arvo.lease (one row); as arvo.withdraw
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
    v_batch arvo.log[];
    v_count integer;
BEGIN
    SELECT queue.* INTO STRICT v_queue
    FROM arvo.lane
    INNER JOIN arvo.queue ON queue.queue = lane.queue
    WHERE lane.lane = p_lane;

    -- Once, unless everything that was leased turns out to be withdrawn.
    LOOP
        SELECT head.* INTO STRICT v_head
        FROM arvo.lease AS head
        WHERE head.lane = p_lane
        ORDER BY head.number DESC
        LIMIT 1;

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

        FOR v_try IN 1..2 LOOP
            IF v_head.exhausted OR v_try = 2 THEN
                v_previous := v_head.snapshot;
                v_snapshot := arvo.window_snapshot();
                v_last_xid := '0';
                v_last_delivery := 0;
                IF pg_snapshot_xmax(v_snapshot) < pg_snapshot_xmax(v_previous) THEN
                    RAISE EXCEPTION 'transaction numbers are of another cluster'
                    USING ERRCODE = 'RV902',
                          DETAIL = format(
                              'lane %s was read up to transaction %s; this cluster is at %s.',
                              p_lane, pg_snapshot_xmax(v_previous), pg_snapshot_xmax(v_snapshot)
                          ),
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

            v_batch := '{}';
            IF v_late <> '{}' THEN
                SELECT coalesce(array_agg(taken.entry ORDER BY taken.xid, taken.delivery), '{}')
                INTO v_batch
                FROM (
                    SELECT found.entry, found.xid, found.delivery
                    FROM unnest(v_late) AS listed (xid)
                    CROSS JOIN LATERAL (
                        SELECT log AS entry, log.xid, log.delivery
                        FROM arvo.log
                        WHERE log.lane = p_lane
                        AND log.xid = listed.xid
                        AND log.delivery > CASE
                            WHEN listed.xid = v_last_xid THEN v_last_delivery ELSE 0
                        END
                        ORDER BY log.delivery
                        LIMIT p_limit
                    ) AS found
                    ORDER BY found.xid, found.delivery
                    LIMIT p_limit
                ) AS taken;
            END IF;
            IF cardinality(v_batch) < p_limit THEN
                SELECT v_batch || coalesce(
                    array_agg(taken.entry ORDER BY taken.xid, taken.delivery), '{}'
                )
                INTO v_batch
                FROM (
                    SELECT log AS entry, log.xid, log.delivery
                    FROM arvo.log
                    WHERE log.lane = p_lane
                    AND (log.xid, log.delivery) > (v_from_xid, v_from_delivery)
                    AND log.xid < pg_snapshot_xmax(v_snapshot)
                    AND pg_visible_in_snapshot(log.xid, v_snapshot)
                    ORDER BY log.xid, log.delivery
                    LIMIT p_limit - cardinality(v_batch)
                ) AS taken;
            END IF;
            -- A window that ended exactly at the limit leaves nothing: then open the next one now.
            EXIT WHEN v_batch <> '{}' OR v_head.exhausted;
        END LOOP;

        v_count := cardinality(v_batch);
        IF v_count = 0 THEN
            -- What the sweep found out is worth a row; the cursor stays where it is.
            IF v_open_from > v_head.open_from THEN
                INSERT INTO arvo.lease (
                    slot, lane, number, token, worker, leased_at, expires_at, deliveries,
                    previous_snapshot, snapshot, last_xid, last_delivery, exhausted,
                    open_from, sweep_at
                )
                VALUES (
                    v_slot, p_lane, v_head.number + 1, 0, p_worker, v_now, v_head.expires_at, '{}',
                    v_head.previous_snapshot, v_head.snapshot, v_head.last_xid,
                    v_head.last_delivery, v_head.exhausted,
                    v_open_from, coalesce(v_sweep_at, 'infinity')
                );
            END IF;
            RETURN;
        END IF;

        v_expires_at := greatest(v_now + p_lease, v_head.expires_at);
        v_token := (nextval('arvo.lease_number'::regclass) << 12) | floor(random() * 4096)::bigint;
        INSERT INTO arvo.lease (
            slot, lane, number, token, worker, leased_at, expires_at, deliveries,
            low_xid, high_xid, previous_snapshot, snapshot, last_xid, last_delivery,
            exhausted, open_from, sweep_at
        )
        VALUES (
            v_slot, p_lane, v_head.number + 1, v_token, p_worker, v_now, v_expires_at,
            ARRAY(SELECT taken.delivery FROM unnest(v_batch) AS taken),
            v_batch[1].xid, v_batch[v_count].xid, v_previous, v_snapshot,
            v_batch[v_count].xid, v_batch[v_count].delivery,
            v_count < p_limit, v_open_from, least(v_sweep_at, v_expires_at)
        );

        IF EXISTS (SELECT FROM arvo.tombstone WHERE tombstone.lane = p_lane) THEN
            v_batch := arvo.withdraw(p_lane, v_token, v_batch);
        END IF;
        EXIT WHEN v_batch <> '{}';
    END LOOP;

    IF v_queue.stateful THEN
        RETURN QUERY
        SELECT
            v_token, taken.delivery, v_queue.name, taken.attempt, v_expires_at, v_queue.expire_in,
            whole.event, taken.cause, state.data, coalesce(state.version, 0)
        FROM unnest(v_batch) AS taken
        CROSS JOIN LATERAL (SELECT arvo.event_of(taken) AS event) AS whole
        LEFT JOIN arvo.state
            ON state.subject_digest = arvo.subject_digest(whole.event ->> 'subject');
    ELSE
        RETURN QUERY
        SELECT
            v_token, taken.delivery, v_queue.name, taken.attempt, v_expires_at, v_queue.expire_in,
            CASE WHEN taken.event IS NULL THEN arvo.event_of(taken) ELSE taken.event END,
            taken.cause, NULL::jsonb, NULL::bigint
        FROM unnest(v_batch) AS taken;
    END IF;
END;
$claim_lane$;

COMMENT ON FUNCTION arvo.claim_lane(integer, integer, text, interval) IS
'Leases the next deliveries of a lane whose lock the caller holds.';

REVOKE ALL ON FUNCTION arvo.claim_lane(integer, integer, text, interval) FROM PUBLIC;
--! end

DROP FUNCTION arvo.claim_gated(integer, integer, integer, text, interval);
--! function arvo.claim_gated
--! end

DROP FUNCTION arvo.census(integer, pg_snapshot);
--! function arvo.census
--! end

DROP FUNCTION arvo.carry_deferred(timestamptz, integer);
--! function arvo.carry_deferred
--! end

DROP FUNCTION arvo.carried_body(bigint, integer, xid8);
--! function arvo.carried_body
--! end

--! function arvo.bury
-- arvo.bury(log row, queue, reason, error) — make a dead letter of a delivery.
CREATE OR REPLACE FUNCTION arvo.bury(
    p_entry arvo.log,
    p_queue arvo.queue,
    p_reason text,
    p_error jsonb
)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $bury$
-- The dead letter keeps the event whole and says where it failed and why. When the queue names a
-- dead-letter queue, the event is delivered there too, with that story as its cause. A dead letter
-- that dies again in its dead-letter queue stays one: it keeps the queue and the reason of its first
-- death, and goes on to the dead-letter queue of that queue, if it has one; through five at most, so
-- that a ring of queues ends. Returns the number of the dead letter.
--
--   Reads    arvo.clock, arvo.slot, arvo.log
--   Writes   arvo.dead, arvo.log; arvo.queue, arvo.lane when the dead-letter queue is missing
--   Locks    as arvo.lane_for; arvo.dead row, when the delivery is one of a dead-letter queue
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
    v_event jsonb := arvo.event_of(p_entry);
    v_redrives integer := coalesce((p_entry.cause ->> 'redrives')::integer, 0);
    v_hops integer := coalesce((p_entry.cause ->> 'hops')::integer, 0);
    v_dead bigint;
    v_lane integer;
    v_delivery bigint;
BEGIN
    IF p_queue.dead_letter IS NOT NULL AND v_hops < 5 THEN
        v_lane := arvo.lane_for(p_queue.dead_letter);
        v_delivery := nextval('arvo.delivery_number'::regclass);
    END IF;

    UPDATE arvo.dead
    SET dead_letter = CASE WHEN v_lane IS NOT NULL THEN p_queue.dead_letter END,
        dead_letter_lane = v_lane,
        dead_letter_xid = CASE WHEN v_lane IS NOT NULL THEN pg_current_xact_id() END,
        dead_letter_delivery = v_delivery
    WHERE dead.dead_letter_lane = p_entry.lane
    AND dead.dead_letter_delivery = p_entry.delivery
    AND dead.resolution IS NULL
    RETURNING dead.dead INTO v_dead;
    IF NOT FOUND THEN
        INSERT INTO arvo.dead (
            delivery, queue, dead_letter, dead_letter_lane, dead_letter_xid, dead_letter_delivery,
            event_id, subject_key, event_key, event, attempts, reason, error, died_at, redrives
        )
        VALUES (
            p_entry.delivery, p_queue.name,
            CASE WHEN v_lane IS NOT NULL THEN p_queue.dead_letter END, v_lane,
            CASE WHEN v_lane IS NOT NULL THEN pg_current_xact_id() END, v_delivery,
            v_event ->> 'id', p_entry.subject_key, p_entry.event_key, v_event, p_entry.attempt,
            p_reason, p_error, v_now, v_redrives
        )
        RETURNING dead.dead INTO v_dead;
    END IF;

    IF v_lane IS NOT NULL THEN
        INSERT INTO arvo.log (
            slot, lane, delivery, attempt, at, subject_key, event_key,
            origin_delivery, origin_lane, origin_xid, cause
        )
        VALUES (
            arvo.slot(), v_lane, v_delivery, 1, v_now, p_entry.subject_key, p_entry.event_key,
            coalesce(p_entry.origin_delivery, p_entry.delivery),
            coalesce(p_entry.origin_lane, p_entry.lane),
            coalesce(p_entry.origin_xid, p_entry.xid),
            jsonb_build_object(
                'outcome', 'dead',
                'dead', v_dead,
                'queue', p_queue.name,
                'delivery', p_entry.delivery,
                'attempts', p_entry.attempt,
                'reason', p_reason,
                'error', p_error,
                'redrives', v_redrives,
                'hops', v_hops + 1
            )
        );
        PERFORM arvo.wake(ARRAY[p_queue.dead_letter]);
    END IF;
    RETURN v_dead;
END;
$bury$;

COMMENT ON FUNCTION arvo.bury(arvo.log, arvo.queue, text, jsonb) IS
'Makes a dead letter of a delivery, and delivers it to the dead-letter queue when one is named.';

REVOKE ALL ON FUNCTION arvo.bury(arvo.log, arvo.queue, text, jsonb) FROM PUBLIC;
--! end

DROP FUNCTION arvo.bring_forward(bigint);
--! function arvo.bring_forward
--! end

DROP FUNCTION arvo.both(arvo.taking, arvo.taking);
--! function arvo.both
--! end

DROP FUNCTION arvo.append_one(jsonb, boolean, boolean);
--! function arvo.append_one
--! end

DROP FUNCTION arvo.append(jsonb[], jsonb, boolean, boolean, text[]);
--! function arvo.append
-- arvo.append(events, start_after, priority, ignore_domain) — accept events: route them and write them down.
CREATE OR REPLACE FUNCTION arvo.append(
    p_events jsonb[],
    p_start_after interval DEFAULT NULL,
    p_priority integer DEFAULT NULL,
    p_ignore_domain boolean DEFAULT false
)
RETURNS SETOF arvo_v1.dispatched
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $append$
-- The events have been checked by the caller. An event with a domain goes to that domain's queue,
-- any other to the queue that its "to" names (its type, when it has none). One without a time gets
-- this one. Order is kept.
--
--   Reads    arvo.queue, arvo.lane, arvo.clock, arvo.slot
--   Writes   arvo.log or arvo.deferred; as arvo.notice_unroutable; arvo.queue, arvo.lane when they
--            are missing
--   Locks    as arvo.lane_for
--   Raises   RV002  as arvo.lane_for
--            RV006  start_after is too long
--            RV902  as arvo.require_home
DECLARE
    v_now timestamptz := arvo.clock();
    v_slot smallint := arvo.slot();
    v_names text[];
    v_due timestamptz;
    v_accepted arvo_v1.dispatched[];
    v_time text := to_char(v_now AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"+00:00"');
BEGIN
    PERFORM arvo.require_home();
    SELECT array_agg(
        CASE
            WHEN NOT p_ignore_domain AND item.event ->> 'domain' IS NOT NULL
                THEN 'arvo.domain.' || (item.event ->> 'domain')
            ELSE coalesce(item.event ->> 'to', item.event ->> 'type')
        END
        ORDER BY item.ordinal
    )
    INTO v_names
    FROM unnest(p_events) WITH ORDINALITY AS item (event, ordinal);

    PERFORM arvo.lane_for(missing.name, p_priority)
    FROM (
        SELECT DISTINCT named.name
        FROM unnest(v_names) AS named (name)
        WHERE NOT EXISTS (
            SELECT
            FROM arvo.queue
            INNER JOIN arvo.lane ON lane.queue = queue.queue
            WHERE queue.name = named.name
            AND lane.priority = coalesce(p_priority, queue.priority)
        )
        ORDER BY named.name
    ) AS missing;

    IF p_start_after > interval '3650 days' THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'start_after',
              DETAIL = format('start_after: %s', p_start_after),
              HINT = 'Defer an event by at most 3650 days.';
    ELSIF p_start_after > interval '0' THEN
        v_due := v_now + p_start_after;
    END IF;

    WITH accepted AS MATERIALIZED (
        SELECT
            item.ordinal,
            CASE
                WHEN item.event ? 'time' THEN item.event
                ELSE item.event || jsonb_build_object('time', v_time)
            END AS event,
            queue.name AS queue,
            queue.registered,
            coalesce(asked.lane, own.lane) AS lane,
            nextval('arvo.delivery_number'::regclass) AS delivery
        FROM unnest(p_events, v_names) WITH ORDINALITY AS item (event, name, ordinal)
        INNER JOIN arvo.queue ON queue.name = item.name
        INNER JOIN arvo.lane AS own
            ON own.queue = queue.queue AND own.priority = queue.priority
        -- missing only while somebody else is making it: see arvo.lane_for
        LEFT JOIN arvo.lane AS asked
            ON asked.queue = queue.queue AND asked.priority = p_priority
        ORDER BY item.ordinal
    ),

    logged AS (
        INSERT INTO arvo.log (
            slot, lane, delivery, attempt, at, subject_key, event_key, event
        )
        SELECT
            v_slot,
            accepted.lane,
            accepted.delivery,
            1,
            v_now,
            hashtextextended(accepted.event ->> 'subject', 0),
            hashtextextended(accepted.event ->> 'id', 0),
            accepted.event
        FROM accepted
        WHERE v_due IS NULL
        ORDER BY accepted.ordinal
    ),

    postponed AS (
        INSERT INTO arvo.deferred (
            due, lane, delivery, attempt, at, subject_key, event_key, event
        )
        SELECT
            v_due,
            accepted.lane,
            accepted.delivery,
            1,
            v_now,
            hashtextextended(accepted.event ->> 'subject', 0),
            hashtextextended(accepted.event ->> 'id', 0),
            accepted.event
        FROM accepted
        WHERE v_due IS NOT NULL
        ORDER BY accepted.ordinal
    )

    SELECT array_agg(
        (
            accepted.ordinal,
            accepted.event ->> 'id',
            accepted.delivery,
            accepted.queue,
            CASE
                WHEN NOT p_ignore_domain AND accepted.event ->> 'domain' IS NOT NULL
                    THEN 'domained'
                WHEN NOT accepted.registered THEN 'unroutable'
                WHEN v_due IS NOT NULL THEN 'deferred'
                ELSE 'queued'
            END
        )::arvo_v1.dispatched
        ORDER BY accepted.ordinal
    )
    INTO v_accepted
    FROM accepted;

    IF v_due IS NULL THEN
        PERFORM arvo.notice_unroutable(v_accepted);
    END IF;
    PERFORM arvo.wake(v_names);
    RETURN QUERY SELECT accepted.* FROM unnest(v_accepted) AS accepted;
END;
$append$;

COMMENT ON FUNCTION arvo.append(jsonb[], interval, integer, boolean) IS
'Routes checked events and appends them, in order.';

REVOKE ALL ON FUNCTION arvo.append(jsonb[], interval, integer, boolean) FROM PUBLIC;
--! end

--! function arvo.again
-- arvo.again(log row, attempt, after, cause) — deliver an event once more.
CREATE OR REPLACE FUNCTION arvo.again(
    p_entry arvo.log,
    p_attempt integer,
    p_after interval,
    p_cause jsonb
)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $again$
-- Appends a new delivery of p_entry's event to the same lane: at once, or deferred by p_after. The
-- event itself is not written again; the new row says where it stands. Returns the new delivery.
-- A dead letter that is being consumed from its dead-letter queue follows its delivery.
--
--   Reads    arvo.clock, arvo.slot, arvo.lane, arvo.queue
--   Writes   arvo.log or arvo.deferred; arvo.dead
--   Locks    arvo.dead row, when the delivery is one of a dead-letter queue
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
    v_delivery bigint := nextval('arvo.delivery_number'::regclass);
    v_at_once boolean := coalesce(p_after <= interval '0', true);
BEGIN
    IF v_at_once THEN
        INSERT INTO arvo.log (
            slot, lane, delivery, attempt, at, subject_key, event_key,
            origin_delivery, origin_lane, origin_xid, cause
        )
        VALUES (
            arvo.slot(), p_entry.lane, v_delivery, p_attempt, v_now,
            p_entry.subject_key, p_entry.event_key,
            coalesce(p_entry.origin_delivery, p_entry.delivery),
            coalesce(p_entry.origin_lane, p_entry.lane),
            coalesce(p_entry.origin_xid, p_entry.xid),
            p_cause
        );
    ELSE
        INSERT INTO arvo.deferred (
            due, lane, delivery, attempt, at, subject_key, event_key,
            origin_delivery, origin_lane, origin_xid, cause
        )
        VALUES (
            v_now + p_after, p_entry.lane, v_delivery, p_attempt, v_now,
            p_entry.subject_key, p_entry.event_key,
            coalesce(p_entry.origin_delivery, p_entry.delivery),
            coalesce(p_entry.origin_lane, p_entry.lane),
            coalesce(p_entry.origin_xid, p_entry.xid),
            p_cause
        );
    END IF;

    UPDATE arvo.dead
    SET dead_letter_delivery = v_delivery,
        dead_letter_xid = CASE WHEN v_at_once THEN pg_current_xact_id() END
    WHERE dead.dead_letter_lane = p_entry.lane
    AND dead.dead_letter_delivery = p_entry.delivery
    AND dead.resolution IS NULL;

    PERFORM arvo.wake(ARRAY[queue.name])
    FROM arvo.lane
    INNER JOIN arvo.queue ON queue.queue = lane.queue
    WHERE lane.lane = p_entry.lane;

    RETURN v_delivery;
END;
$again$;

COMMENT ON FUNCTION arvo.again(arvo.log, integer, interval, jsonb) IS
'Appends a further delivery of a logged event, at once or deferred.';

REVOKE ALL ON FUNCTION arvo.again(arvo.log, integer, interval, jsonb) FROM PUBLIC;
--! end

DROP FUNCTION arvo.admit(arvo.queue, arvo.log[]);
--! function arvo.admit
--! end

DROP TYPE arvo_v1.subscription;
DROP TABLE arvo.subscription;

DROP TYPE
    arvo_v1.operation, arvo_v1.intervention, arvo_v1.purged, arvo_v1.switched,
    arvo.census, arvo.finding, arvo.standing;

DROP TYPE arvo_v1.rebased;
DELETE FROM arvo.lane WHERE retired;
DROP INDEX arvo.lane_live_idx, arvo.lane_queue_idx;
ALTER TABLE arvo.lane
DROP COLUMN retired,
DROP COLUMN successor,
ADD CONSTRAINT lane_queue_priority_key UNIQUE (queue, priority);
ALTER TABLE arvo.origin DROP COLUMN relation;

DROP TYPE arvo_v1.presence, arvo_v1.vital, arvo_v1.explanation, arvo.lane_state,
arvo.disagreement;
ALTER TYPE arvo_v1.step
DROP ATTRIBUTE parent_subject,
DROP ATTRIBUTE depth,
DROP ATTRIBUTE due_at,
DROP ATTRIBUTE wait_time,
DROP ATTRIBUTE cause;
COMMENT ON COLUMN arvo_v1.step.delivery IS 'Number of the delivery.';
COMMENT ON COLUMN arvo_v1.step.outcome IS
'queued, deferred, unroutable, active, or what became of it: completed, retried, dead, released, snoozed, conflict, expired, cancelled.';
ALTER TYPE arvo_v1.queue_stats
DROP ATTRIBUTE policy,
DROP ATTRIBUTE retention,
DROP ATTRIBUTE delete_after,
DROP ATTRIBUTE waiting_count,
DROP ATTRIBUTE total_count,
DROP ATTRIBUTE exact,
DROP ATTRIBUTE singletons_active,
DROP ATTRIBUTE paused_at,
DROP ATTRIBUTE draining,
DROP ATTRIBUTE oldest_queued_age,
DROP ATTRIBUTE completed_per_minute,
DROP ATTRIBUTE failed_per_minute,
DROP ATTRIBUTE wait_mean,
DROP ATTRIBUTE wait_p95,
DROP ATTRIBUTE run_mean,
DROP ATTRIBUTE run_p95;
COMMENT ON COLUMN arvo_v1.queue_stats.deferred_count IS 'Due later: start_after, retry, snooze.';
COMMENT ON COLUMN arvo_v1.queue_stats.queued_count IS 'Ready and not yet claimed.';
COMMENT ON COLUMN arvo_v1.queue_stats.dead_count IS 'Dead letters of this queue that are still open.';
COMMENT ON COLUMN arvo_v1.queue_stats.oldest_queued_at IS 'When the oldest ready delivery was appended.';

DROP TABLE arvo.upkeep, arvo.worker;
DROP INDEX arvo.dead_delivery_idx, arvo.lease_delivery_idx, arvo.log_delivery_idx,
arvo.deferred_lane_idx;
DROP INDEX arvo.lease_range_idx;
CREATE INDEX lease_range_idx ON arvo.lease (lane, high_xid) WHERE token <> 0;
DROP TYPE arvo.pace, arvo.lane_count, arvo.frontier;
DROP TABLE arvo.tally;
ALTER TABLE arvo.log DROP COLUMN deferred_xid;

COMMENT ON COLUMN arvo_v1.maintained.touched IS 'How many rows.';
COMMENT ON COLUMN arvo_v1.maintained.task IS 'promoted, healed, swept or unlocked.';
DROP INDEX arvo.deferred_origin_idx, arvo.dead_resolved_at_idx;
DROP TYPE arvo.pin;
ALTER TABLE arvo.generation
DROP COLUMN opened_by,
DROP COLUMN closed_at,
DROP COLUMN finished_at,
DROP COLUMN emptied_at;

DROP TYPE arvo_v1.discarded;
COMMENT ON TYPE arvo_v1.redriven IS 'A dead letter that was put back into its queue.';
COMMENT ON COLUMN arvo_v1.redriven.delivery IS 'Number of the new delivery; NULL in a dry run.';
COMMENT ON COLUMN arvo_v1.redriven.queue IS 'The queue it went back to.';
ALTER TYPE arvo_v1.redriven
DROP ATTRIBUTE outcome,
DROP ATTRIBUTE code,
DROP ATTRIBUTE detail,
DROP ATTRIBUTE due_at;
DROP TYPE arvo_v1.attempt;
COMMENT ON COLUMN arvo_v1.dead_letter.reason IS 'failed, rejected or lease_expired.';
COMMENT ON COLUMN arvo_v1.dead_letter.resolution IS 'redriven, consumed, or NULL while open.';
ALTER TYPE arvo_v1.dead_letter
DROP ATTRIBUTE edited,
DROP ATTRIBUTE resolved_at,
DROP ATTRIBUTE resolved_by,
DROP ATTRIBUTE redriven_at,
DROP ATTRIBUTE redriven_by;
DROP TYPE arvo.dead_filter;
DROP INDEX
arvo.deferred_event_idx, arvo.dead_event_idx, arvo.dead_all_open_idx,
arvo.dead_dead_letter_resolved_idx, arvo.dead_resolved_idx;
COMMENT ON INDEX arvo.dead_dead_letter_idx IS NULL;
COMMENT ON INDEX arvo.dead_open_idx IS NULL;
ALTER TABLE arvo.dead DROP COLUMN edited;

DROP TYPE arvo_v1.fire;
DROP TYPE arvo_v1.schedule;
DROP TABLE arvo.fire_pass;
DROP TABLE arvo.schedule;
DROP TYPE arvo.cron;

ALTER TYPE arvo_v1.worked DROP ATTRIBUTE key;
ALTER TYPE arvo_v1.claimed DROP ATTRIBUTE key;
ALTER TYPE arvo_v1.extended DROP ATTRIBUTE deliveries;
COMMENT ON COLUMN arvo_v1.dispatched.delivery IS 'Number of its delivery.';
COMMENT ON COLUMN arvo_v1.dispatched.outcome IS 'queued, deferred, domained or unroutable.';
ALTER TYPE arvo_v1.queue
DROP ATTRIBUTE policy,
DROP ATTRIBUTE key_from,
DROP ATTRIBUTE on_failure,
DROP ATTRIBUTE start_after,
DROP ATTRIBUTE retention,
DROP ATTRIBUTE delete_after,
DROP ATTRIBUTE deduplicate_for,
DROP ATTRIBUTE singleton_for,
DROP ATTRIBUTE singleton_next_slot,
DROP ATTRIBUTE max_active,
DROP ATTRIBUTE key_max_active,
DROP ATTRIBUTE rate_limit,
DROP ATTRIBUTE rate_period,
DROP ATTRIBUTE key_rate_limit,
DROP ATTRIBUTE key_rate_period,
DROP ATTRIBUTE max_redrives,
DROP ATTRIBUTE error_rules,
DROP ATTRIBUTE paused_at;
ALTER TYPE arvo.result
DROP ATTRIBUTE xid,
DROP ATTRIBUTE key,
DROP ATTRIBUTE place,
DROP ATTRIBUTE next;
DROP TYPE arvo.taking, arvo.arrival, arvo.options, arvo.reading;

DROP TABLE arvo.operation;
ALTER TABLE arvo.tombstone DROP COLUMN reason, DROP COLUMN by;
DELETE FROM arvo.dead WHERE reason = 'retention' OR resolution = 'discarded';
ALTER TABLE arvo.dead
DROP COLUMN key,
DROP COLUMN options,
DROP CONSTRAINT dead_reason_check,
DROP CONSTRAINT dead_resolution_check,
ADD CONSTRAINT dead_reason_check CHECK (reason IN ('failed', 'rejected', 'lease_expired')),
ADD CONSTRAINT dead_resolution_check CHECK (resolution IN ('redriven', 'consumed'));
COMMENT ON COLUMN arvo.dead.reason IS 'failed, rejected or lease_expired.';
COMMENT ON COLUMN arvo.dead.resolution IS 'What was done about it; NULL while open.';

DROP TABLE
    arvo.omission, arvo.event_key, arvo.event_key_generation, arvo.throttle, arvo.singleton,
    arvo.ready, arvo.parked, arvo.turn;
DROP SEQUENCE arvo.event_key_number, arvo.turn_number;
DROP INDEX arvo.closure_at_idx;
ALTER TABLE arvo.lease
DROP COLUMN xids,
DROP COLUMN keys,
DROP COLUMN places,
DROP COLUMN ready_from;
ALTER TABLE arvo.deferred DROP COLUMN key, DROP COLUMN options;
ALTER TABLE arvo.log DROP COLUMN key, DROP COLUMN options;
DROP TABLE arvo.registration;
ALTER TABLE arvo.queue
DROP COLUMN gated,
DROP COLUMN slotted,
DROP COLUMN policy,
DROP COLUMN key_from,
DROP COLUMN on_failure,
DROP COLUMN start_after,
DROP COLUMN retention,
DROP COLUMN delete_after,
DROP COLUMN deduplicate_for,
DROP COLUMN singleton_for,
DROP COLUMN singleton_next_slot,
DROP COLUMN max_active,
DROP COLUMN key_max_active,
DROP COLUMN rate_limit,
DROP COLUMN rate_period,
DROP COLUMN key_rate_limit,
DROP COLUMN key_rate_period,
DROP COLUMN max_redrives,
DROP COLUMN error_rules,
DROP COLUMN paused_at,
DROP COLUMN paused_by,
DROP COLUMN drained_to;

DELETE FROM arvo.revision WHERE number = 3;
