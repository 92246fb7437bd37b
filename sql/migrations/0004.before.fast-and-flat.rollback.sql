-- undo fast-and-flat

SET LOCAL ROLE arvo_owner;
SET LOCAL check_function_bodies = off;  -- blocks may refer to later blocks

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
            NULL::interval,
            NULL::bigint
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
        NULL::interval,
        claimed.key
    FROM arvo_v1.claim(p_queues, p_limit, p_worker, p_limits, p_lease) AS claimed;
    IF NOT FOUND THEN
        RETURN NEXT (
            'idle', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
            CASE
                WHEN arvo.has_own(p_queues) THEN interval '0'
                ELSE least(arvo.next_due(), arvo.next_room(p_queues))
            END,
            NULL
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

DROP FUNCTION arvo_v1.still_open(bigint[], interval);
--! function arvo_v1.still_open
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
--   RV303  an earlier delivery of its ordered key is still open
--
-- An item settled before under the same lease is answered "already" (not accepted, with code RV101,
-- if it ended in a conflict then). States, emitted events,
-- retries, dead letters and the journal are written together.
--
--   Reads    arvo.lease and arvo.closure by token, arvo.lane, arvo.queue, arvo.clock, arvo.slot
--   Writes   arvo.state, arvo.lineage, arvo.closure, arvo.dead; as arvo.give_back, arvo.pass_turns,
--            arvo.leave_places, arvo.append_one and arvo.append
--   Locks    the leases, in order of their tokens; then arvo.state rows, in order of subject; as
--            arvo.place; then the home lanes of gated queues, in order; then as arvo.give_back and
--            arvo.append
--   Raises   RV005  the transaction is not READ COMMITTED
--            RV006  p_results is not an array, or has more than 10000 items
--            RV902  the stored transaction numbers are of another cluster
DECLARE
    v_now timestamptz := arvo.clock();
    v_items arvo.result[];
    v_events jsonb[];
    v_at integer;
    v_fault text;
    v_version bigint;
    v_queue arvo.queue;
    v_lane integer;
    v_later integer;
    v_emitting boolean;
    v_ordered boolean;
    v_writing boolean;
    v_failing boolean;
    v_bound boolean;
    v_alone arvo_v1.dispatched;
BEGIN
    PERFORM arvo.require_read_committed('settle');
    PERFORM arvo.require_home();
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

    -- Most results are plain: what none of them asks for is left out.
    SELECT
        bool_or(item.verdict IS NULL AND item.events <> '[]'),
        bool_or(item.place IS NOT NULL),
        bool_or(item.verdict IS NULL AND item.state IS NOT NULL),
        bool_or(item.verdict IS NULL AND item.asked <> 'completed')
    INTO v_emitting, v_ordered, v_writing, v_failing
    FROM unnest(v_items) AS item;

    IF v_emitting THEN
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
    END IF;

    IF v_ordered THEN
        v_items := arvo.order_results(v_items);
    END IF;

    IF v_writing THEN
        FOR v_at IN
            SELECT item.ordinal
            FROM unnest(v_items) AS item
            WHERE item.verdict IS NULL AND item.state IS NOT NULL
            ORDER BY item.state ->> 'subject' COLLATE "C", item.place, item.ordinal
        LOOP
            CONTINUE WHEN v_items[v_at].verdict IS NOT NULL;
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
                v_items[v_at].verdict := 'conflict';
                v_items[v_at].error := jsonb_build_object(
                    'name', 'VersionConflict', 'message', v_items[v_at].detail, 'stack', NULL
                );
                -- What follows in an ordered run was built on a state that is not stored.
                FOR v_later IN
                    SELECT item.ordinal
                    FROM unnest(v_items) AS item
                    WHERE item.verdict IS NULL
                    AND item.lease = v_items[v_at].lease
                    AND item.key = v_items[v_at].key
                    AND item.place > v_items[v_at].place
                LOOP
                    v_items[v_later].verdict := 'refused';
                    v_items[v_later].code := 'RV301';
                    v_items[v_later].detail := format(
                        'delivery %s is not completed, and comes before it', v_items[v_at].delivery
                    );
                END LOOP;
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
    END IF;

    v_bound := EXISTS (
        SELECT
        FROM (SELECT DISTINCT item.lane FROM unnest(v_items) AS item) AS met
        INNER JOIN arvo.lane ON lane.lane = met.lane
        INNER JOIN arvo.queue ON queue.queue = lane.queue
        WHERE queue.gated OR queue.slotted
    );
    IF v_bound THEN
        PERFORM pg_advisory_xact_lock(hashtext('arvo'), gated.lane)
        FROM (
            SELECT DISTINCT arvo.home_lane(queue.queue) AS lane
            FROM unnest(v_items) AS item
            INNER JOIN arvo.lane ON lane.lane = item.lane
            INNER JOIN arvo.queue ON queue.queue = lane.queue
            WHERE queue.gated AND coalesce(item.verdict, 'conflict') = 'conflict'
            ORDER BY lane
        ) AS gated;
    END IF;

    IF v_failing OR v_writing THEN
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
        IF cardinality(v_events) = 1 THEN
            v_alone := arvo.append_one(v_events[1], false, true);
        END IF;
        IF v_events IS NOT NULL AND v_alone.delivery IS NULL THEN
            PERFORM arvo.append(v_events, NULL, false, true);
        END IF;
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

DROP FUNCTION arvo_v1.rouse(text[]);
--! function arvo_v1.rouse
--! end

DROP FUNCTION arvo_v1.release_lock(text, bigint, boolean);
--! function arvo_v1.release_lock
-- arvo_v1.release_lock(subject, token) — give a lock back.
CREATE OR REPLACE FUNCTION arvo_v1.release_lock(p_subject text, p_token bigint)
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $release_lock$
-- Removes only the lock that was taken under this token; a stale token removes nothing and is
-- answered false. The subject's transaction lock keeps acquire_lock from waiting for this delete.
--
--   Reads    nothing
--   Writes   arvo.state_lock
--   Locks    the subject's transaction lock, then arvo.state_lock row
--   Raises   nothing
BEGIN
    PERFORM pg_advisory_xact_lock(arvo.lock_key(p_subject));
    DELETE FROM arvo.state_lock
    WHERE state_lock.subject_digest = arvo.subject_digest(p_subject)
    AND state_lock.token = p_token;
    RETURN FOUND;
END;
$release_lock$;

COMMENT ON FUNCTION arvo_v1.release_lock(text, bigint) IS
'Releases the lock held under this token; false when it is not held under it.';

REVOKE ALL ON FUNCTION arvo_v1.release_lock(text, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.release_lock(text, bigint) TO arvo_worker;
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
    p_warning_queue_size integer DEFAULT NULL,
    p_policy text DEFAULT NULL,
    p_key_from text DEFAULT NULL,
    p_on_failure text DEFAULT NULL,
    p_start_after interval DEFAULT NULL,
    p_retention interval DEFAULT NULL,
    p_delete_after interval DEFAULT NULL,
    p_deduplicate_for interval DEFAULT NULL,
    p_singleton_for interval DEFAULT NULL,
    p_singleton_next_slot boolean DEFAULT NULL,
    p_max_active integer DEFAULT NULL,
    p_key_max_active integer DEFAULT NULL,
    p_rate_limit integer DEFAULT NULL,
    p_rate_period interval DEFAULT NULL,
    p_key_rate_limit integer DEFAULT NULL,
    p_key_rate_period interval DEFAULT NULL,
    p_max_redrives integer DEFAULT NULL,
    p_error_rules jsonb DEFAULT NULL,
    p_reset text[] DEFAULT '{}',
    p_worker text DEFAULT NULL
)
RETURNS arvo_v1.queue
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $register_queue$
-- An option left NULL stays as it is, or takes its default in a new queue; one that p_reset names
-- goes back to its default. A stateful queue is ordered from its first registration, unless a policy
-- is named. The answer's "change" says what this call did: created, unchanged, or the options that
-- changed ("registered" is among them when events were already waiting under that name). A
-- dead-letter queue that does not exist is made. Events that arrived before the registration are
-- delivered from now on. When the policy changes, or the first limit comes or the last one goes, what
-- stood in line is delivered again, under the new rules. p_worker names the process: what it asked for is kept beside the queue.
--
--   Reads    arvo.clock
--   Writes   arvo.queue, arvo.lane, arvo.registration; as arvo.rebuild_turns
--   Locks    as arvo.hold_queue when there are new rules; arvo.queue row
--   Raises   RV002  an option is not valid
--            RV005  there are new rules, and the transaction is not READ COMMITTED
--            RV101  somebody else has changed the rules at this moment
--            RV902  there are new rules, and the stored transaction numbers are of another cluster
DECLARE
    v_now timestamptz := arvo.clock();
    v_known boolean;
    v_asked jsonb;
    v_before arvo.queue;
    v_after arvo.queue;
    v_fault text;
    v_change text;
    v_held boolean;
BEGIN
    v_asked := jsonb_strip_nulls(jsonb_build_object(
        'stateful', p_stateful, 'priority', p_priority, 'retry_limit', p_retry_limit,
        'retry_delay', p_retry_delay, 'retry_backoff', p_retry_backoff,
        'retry_delay_max', p_retry_delay_max, 'expire_in', p_expire_in,
        'dead_letter', p_dead_letter, 'warning_queue_size', p_warning_queue_size,
        'policy', p_policy, 'key_from', p_key_from, 'on_failure', p_on_failure,
        'start_after', p_start_after, 'retention', p_retention, 'delete_after', p_delete_after,
        'deduplicate_for', p_deduplicate_for, 'singleton_for', p_singleton_for,
        'singleton_next_slot', p_singleton_next_slot, 'max_active', p_max_active,
        'key_max_active', p_key_max_active, 'rate_limit', p_rate_limit,
        'rate_period', p_rate_period, 'key_rate_limit', p_key_rate_limit,
        'key_rate_period', p_key_rate_period, 'max_redrives', p_max_redrives
    )) || CASE
        WHEN p_error_rules IS NULL THEN '{}'::jsonb
        ELSE jsonb_build_object('error_rules', p_error_rules)
    END;
    v_before.name := p_queue;
    v_after := arvo.with_options(v_before, v_asked, p_reset);
    IF NOT arvo.is_queue_name(p_queue) OR p_dead_letter = p_queue
        OR NOT arvo.is_queue_name(coalesce(p_dead_letter, 'none'))
    THEN
        v_fault := arvo.option_fault(v_after);
    ELSE
        v_known := EXISTS (SELECT FROM arvo.queue WHERE queue.name = p_queue);
        -- Asked before anything is made: a refusal leaves no queue behind.
        SELECT queue.* INTO v_before FROM arvo.queue WHERE queue.name = p_queue;
        v_before.name := p_queue;
        v_after := arvo.with_options(v_before, v_asked, p_reset);
        v_fault := arvo.option_fault(v_after);
        IF v_fault IS NULL AND v_known AND v_after.policy = 'ordered' AND v_before.registered
            AND v_after.priority <> v_before.priority
        THEN
            v_fault := 'priority: an ordered queue keeps the priority that it has';
        END IF;
    END IF;
    IF v_fault IS NOT NULL THEN
        RAISE EXCEPTION 'option is not valid'
        USING ERRCODE = 'RV002',
              COLUMN = split_part(v_fault, ':', 1),
              DETAIL = format('option %s of queue %s', split_part(v_fault, ':', 1),
                              left(to_json(p_queue)::text, 80)),
              HINT = format('For %s', v_fault);
    END IF;

    PERFORM arvo.lane_for(p_queue);
    IF v_after.dead_letter IS NOT NULL THEN
        PERFORM arvo.lane_for(v_after.dead_letter);
    END IF;

    SELECT queue.* INTO STRICT v_before FROM arvo.queue WHERE queue.name = p_queue;
    v_held := arvo.has_new_rules(v_before, arvo.with_options(v_before, v_asked, p_reset));
    IF v_held THEN
        PERFORM arvo.require_read_committed('register_queue');
        PERFORM arvo.require_home();
        PERFORM arvo.hold_queue(v_before.queue);
    END IF;
    SELECT queue.* INTO STRICT v_before
    FROM arvo.queue
    WHERE queue.name = p_queue
    FOR NO KEY UPDATE;
    v_after := arvo.with_options(v_before, v_asked, p_reset);
    IF NOT v_held AND arvo.has_new_rules(v_before, v_after) THEN
        RAISE EXCEPTION 'version mismatch: the queue has other rules now'
        USING ERRCODE = 'RV101',
              COLUMN = 'policy',
              DETAIL = format('queue %s', left(to_json(p_queue)::text, 80)),
              HINT = 'Somebody registered it at the same moment: register it again.';
    END IF;

    UPDATE arvo.queue
    SET registered = true,
        stateful = v_after.stateful,
        priority = v_after.priority,
        retry_limit = v_after.retry_limit,
        retry_delay = v_after.retry_delay,
        retry_backoff = v_after.retry_backoff,
        retry_delay_max = v_after.retry_delay_max,
        expire_in = v_after.expire_in,
        dead_letter = v_after.dead_letter,
        warning_queue_size = v_after.warning_queue_size,
        policy = v_after.policy,
        key_from = v_after.key_from,
        on_failure = v_after.on_failure,
        start_after = v_after.start_after,
        retention = v_after.retention,
        delete_after = v_after.delete_after,
        deduplicate_for = v_after.deduplicate_for,
        singleton_for = v_after.singleton_for,
        singleton_next_slot = v_after.singleton_next_slot,
        max_active = v_after.max_active,
        key_max_active = v_after.key_max_active,
        rate_limit = v_after.rate_limit,
        rate_period = v_after.rate_period,
        key_rate_limit = v_after.key_rate_limit,
        key_rate_period = v_after.key_rate_period,
        max_redrives = v_after.max_redrives,
        error_rules = v_after.error_rules
    WHERE queue.queue = v_before.queue
    RETURNING queue.* INTO v_after;
    PERFORM arvo.lane_for(p_queue);
    IF arvo.has_new_rules(v_before, v_after) THEN
        PERFORM arvo.rebuild_turns(v_after);
    END IF;

    SELECT string_agg(was.key, ', ' ORDER BY was.key) INTO v_change
    FROM jsonb_each(to_jsonb(v_before) - 'gated' - 'slotted') AS was
    INNER JOIN jsonb_each(to_jsonb(v_after)) AS now ON now.key = was.key
    WHERE was.value IS DISTINCT FROM now.value;
    v_change := CASE WHEN v_known THEN coalesce(v_change, 'unchanged') ELSE 'created' END;
    IF v_change <> 'unchanged' THEN
        UPDATE arvo.queue SET changed_at = v_now WHERE queue.queue = v_before.queue;
        PERFORM arvo.wake(ARRAY[p_queue]);
    END IF;
    IF p_worker IS NOT NULL THEN
        INSERT INTO arvo.registration (queue, worker, options, at)
        VALUES (p_queue, left(p_worker, 200), v_asked, v_now)
        ON CONFLICT (queue, worker) DO UPDATE
        SET options = excluded.options, at = excluded.at;
    END IF;
    RETURN arvo.shown(v_after, v_change);
END;
$register_queue$;

COMMENT ON FUNCTION arvo_v1.register_queue(
    text, boolean, integer, integer, interval, boolean, interval, interval, text, integer, text,
    text, text, interval, interval, interval, interval, interval, boolean, integer, integer,
    integer, interval, integer, interval, integer, jsonb, text[], text
) IS
'Creates or updates a queue, idempotently; an option left NULL stays as it is. Says what changed.';

REVOKE ALL ON FUNCTION arvo_v1.register_queue(
    text, boolean, integer, integer, interval, boolean, interval, interval, text, integer, text,
    text, text, interval, interval, interval, interval, interval, boolean, integer, integer,
    integer, interval, integer, interval, integer, jsonb, text[], text
) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.register_queue(
    text, boolean, integer, integer, interval, boolean, interval, interval, text, integer, text,
    text, text, interval, interval, interval, interval, interval, boolean, integer, integer,
    integer, interval, integer, interval, integer, jsonb, text[], text
) TO arvo_worker, arvo_operator;
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
-- Any number of sessions may call it; one at a time works, the others return at once. Bounded: each
-- task touches at most some thousand rows a call. One row for each task:
--
--   promoted  deferred deliveries that became due        unlocked  lapsed locks removed
--   healed    rows of expired leases taken back          keys      idle rows of keys removed
--   retired   unclaimed past retention: dead letters     notes     what was written down long ago
--   expired   parked past retention: dead letters        turned    steps of a turn of event_key
--   swept     deferred rows removed after promotion      finished  generations that are only history
--   tallied   lanes whose figures were carried on        opened, emptied  generations of history
--   workers   workers forgotten that are long gone
--
-- A task that fails is undone by itself and answered NULL, with a warning: the others are done all
-- the same. The last one may lock a part of the log for everybody: call this in a transaction of its
-- own, and commit at once. pg_cron may: SELECT * FROM arvo_v1.maintain().
--
--   Reads    as the functions called
--   Writes   as the functions called
--   Locks    the maintainer's lock, tried; then as the functions called, which wait for no lane and
--            no lease
--   Raises   RV005  the transaction is not READ COMMITTED
--            RV902  the stored transaction numbers are of another cluster
DECLARE
    v_task text;
    v_touched integer;
BEGIN
    PERFORM arvo.require_read_committed('maintain');
    PERFORM arvo.require_home();
    IF NOT pg_try_advisory_xact_lock(hashtext('arvo'), -1) THEN
        RETURN;
    END IF;

    FOREACH v_task IN ARRAY '{promoted,tallied,healed,retired,expired,swept,unlocked,keys,notes,workers,turned,finished,opened,emptied}'::text[]
    LOOP
        BEGIN
            v_touched := CASE v_task
                WHEN 'promoted' THEN arvo.promote(5000)
                WHEN 'tallied' THEN arvo.tally_lanes()
                WHEN 'healed' THEN arvo.heal_lanes(32)
                WHEN 'retired' THEN arvo.retire_unclaimed(1000)
                WHEN 'expired' THEN arvo.expire_parked(1000)
                WHEN 'swept' THEN arvo.sweep_deferred(5000)
                WHEN 'unlocked' THEN arvo.sweep_locks(5000)
                WHEN 'keys' THEN arvo.sweep_keys(1000)
                WHEN 'notes' THEN arvo.sweep_notes(1000)
                WHEN 'workers' THEN arvo.forget_workers()::integer
                WHEN 'turned' THEN arvo.turn_event_keys()
                WHEN 'finished' THEN arvo.finish_generations()
                WHEN 'opened' THEN arvo.open_generation()
                WHEN 'emptied' THEN arvo.empty_generation()
            END;
        EXCEPTION WHEN OTHERS THEN
            v_touched := NULL;
            RAISE WARNING 'maintenance task % failed: % %', v_task, SQLSTATE, SQLERRM;
        END;
        RETURN NEXT (v_task, v_touched)::arvo_v1.maintained;
    END LOOP;
END;
$maintain$;

COMMENT ON FUNCTION arvo_v1.maintain() IS
'What no claim does on its own: promotes, heals, applies retention, sweeps, and turns history; any number of sessions may call it.';

REVOKE ALL ON FUNCTION arvo_v1.maintain() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.maintain() TO arvo_worker, arvo_operator;
--! end

DROP FUNCTION arvo_v1.look(text[], integer, text, integer[], interval);
--! function arvo_v1.look
--! end

DROP FUNCTION arvo_v1.lock_state(text, interval, boolean);
--! function arvo_v1.lock_state
--! end

DROP FUNCTION arvo_v1.doze(text[]);
--! function arvo_v1.doze
--! end

--! function arvo_v1.dispatch_many
-- arvo_v1.dispatch_many(events, start_after, priority, ignore_domain, options) — accept an array of events, in order.
CREATE OR REPLACE FUNCTION arvo_v1.dispatch_many(
    p_events jsonb,
    p_start_after interval DEFAULT NULL,
    p_priority integer DEFAULT NULL,
    p_ignore_domain boolean DEFAULT false,
    p_options jsonb DEFAULT NULL
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
--            RV002  an option is not valid, or a queue has too many priorities
--            RV006  p_events is not an array
--            RV201  nobody has registered a queue, and must_be_registered is set
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
    FROM arvo.append(
        v_events, arvo.options_with(p_options, p_start_after, p_priority), p_ignore_domain
    ) AS accepted;
END;
$dispatch_many$;

COMMENT ON FUNCTION arvo_v1.dispatch_many(jsonb, interval, integer, boolean, jsonb) IS
'Accepts an array of events in order, all or none, and says where each went.';

REVOKE ALL ON FUNCTION arvo_v1.dispatch_many(jsonb, interval, integer, boolean, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.dispatch_many(jsonb, interval, integer, boolean, jsonb)
TO arvo_client, arvo_worker, arvo_operator;
--! end

DROP FUNCTION arvo_v1.dispatch_copy(jsonb, boolean, jsonb);
--! function arvo_v1.dispatch_copy
--! end

--! function arvo_v1.dispatch
-- arvo_v1.dispatch(event, start_after, priority, ignore_domain, options) — accept one event in the caller's transaction.
CREATE OR REPLACE FUNCTION arvo_v1.dispatch(
    p_event jsonb,
    p_start_after interval DEFAULT NULL,
    p_priority integer DEFAULT NULL,
    p_ignore_domain boolean DEFAULT false,
    p_options jsonb DEFAULT NULL
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
-- queue nobody has registered waits there: outcome unroutable. The same source and id to the same
-- queue again, within its window, is a duplicate, and answered with the first delivery. p_options is
-- an object as in arvo.read_options; p_start_after and p_priority are two of them.
--
--   Reads    as arvo.append_one and arvo.append
--   Writes   as arvo.append_one or arvo.append
--   Locks    as arvo.append_one or arvo.append
--   Raises   RV001  the event is not valid, or is to be published
--            RV002  an option is not valid, or the queue has too many priorities
--            RV201  nobody has registered the queue, and must_be_registered is set
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
    IF coalesce(p_event ->> 'to', p_event ->> 'type') = 'arvo.publish'
        AND (p_ignore_domain OR p_event ->> 'domain' IS NULL)
    THEN
        RAISE EXCEPTION 'event is not valid'
        USING ERRCODE = 'RV001',
              COLUMN = 'to',
              DETAIL = 'to: arvo.publish has an answer for each queue that subscribes',
              HINT = 'Call publish, or dispatch_many. Nothing has been stored.';
    END IF;
    IF p_options IS NULL AND p_start_after IS NULL AND p_priority IS NULL THEN
        v_dispatched := arvo.append_one(p_event, p_ignore_domain);
        IF v_dispatched.delivery IS NOT NULL THEN
            RETURN v_dispatched;
        END IF;
    END IF;
    SELECT accepted.* INTO STRICT v_dispatched
    FROM arvo.append(
        ARRAY[p_event], arvo.options_with(p_options, p_start_after, p_priority), p_ignore_domain
    ) AS accepted;
    RETURN v_dispatched;
END;
$dispatch$;

COMMENT ON FUNCTION arvo_v1.dispatch(jsonb, interval, integer, boolean, jsonb) IS
'Accepts one event in the caller''s transaction and says where it went.';

REVOKE ALL ON FUNCTION arvo_v1.dispatch(jsonb, interval, integer, boolean, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.dispatch(jsonb, interval, integer, boolean, jsonb)
TO arvo_client, arvo_worker, arvo_operator;
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
-- past 32 lanes, one with nothing to do is not locked, and a call takes from at most 512 more. A
-- paused queue is left out. A gated queue is claimed under the lock of its home lane as well.
-- Within a lane leases lapse in the order in which they were taken, so the longest p_lease that
-- anybody asks for bounds how soon the next crash is noticed there; that is why it is short. In a
-- transaction of several calls settle and extend come before claim: leases are locked before lanes.
--
--   Reads    arvo.queue, arvo.lane; as arvo.is_worth_claiming, arvo.claim_lane, arvo.claim_gated
--   Writes   as arvo.promote, arvo.claim_lane and arvo.claim_gated
--   Locks    the promoter's lock, each lane: tried, never waited for
--   Raises   RV003  a queue is not known
--            RV005  the transaction is not READ COMMITTED
--            RV006  an argument is not valid
--            RV902  the stored transaction numbers are of another cluster
DECLARE
    v_start integer := floor(random() * 1000000000)::integer;
    v_lane record;
    v_home integer;
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
        SELECT lane.lane, named.gated, named.queue, asked.position
        FROM unnest(p_queues) WITH ORDINALITY AS asked (name, position)
        CROSS JOIN LATERAL (
            SELECT queue.queue, queue.gated
            FROM arvo.queue
            WHERE queue.name = asked.name AND queue.paused_at IS NULL
            UNION ALL
            SELECT queue.queue, queue.gated
            FROM arvo.queue
            WHERE asked.name LIKE '%*' AND starts_with(queue.name, left(asked.name, -1))
            AND queue.paused_at IS NULL
        ) AS named
        INNER JOIN arvo.lane ON lane.queue = named.queue AND NOT lane.retired
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
        IF v_lane.gated THEN
            v_home := arvo.home_lane(v_lane.queue);
            CONTINUE WHEN NOT pg_try_advisory_xact_lock(hashtext('arvo'), v_home);
            CONTINUE WHEN NOT pg_try_advisory_xact_lock(hashtext('arvo'), v_lane.lane);
            v_locked := v_locked + 1 + (v_home <> v_lane.lane)::integer;
            RETURN QUERY
            SELECT leased.*
            FROM arvo.claim_gated(
                v_lane.lane, v_home, v_want, left(p_worker, 200), p_lease
            ) AS leased;
        ELSE
            CONTINUE WHEN NOT pg_try_advisory_xact_lock(hashtext('arvo'), v_lane.lane);
            v_locked := v_locked + 1;
            RETURN QUERY
            SELECT leased.*
            FROM arvo.claim_lane(v_lane.lane, v_want, left(p_worker, 200), p_lease) AS leased;
        END IF;
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

DROP FUNCTION arvo_v1.acquire_lock(text, interval, boolean);
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
-- upsert alone would wait for a competitor's open transaction, so a transaction lock is tried first;
-- and for whoever has the row in hand (a write under the lock, a renewal, a clean-up), so the row is
-- locked first, or left alone.
--
--   Reads    arvo.clock
--   Writes   arvo.state_lock
--   Locks    the subject's transaction lock and arvo.state_lock row: tried, never waited for
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
    PERFORM
    FROM arvo.state_lock
    WHERE state_lock.subject_digest = arvo.subject_digest(p_subject)
    FOR UPDATE SKIP LOCKED;
    IF NOT FOUND AND EXISTS (
        SELECT
        FROM arvo.state_lock
        WHERE state_lock.subject_digest = arvo.subject_digest(p_subject)
    ) THEN
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

--! function arvo.write_lease
-- arvo.write_lease(head, worker, lease, batch, keys, places) — write the lease of a batch.
CREATE OR REPLACE FUNCTION arvo.write_lease(
    p_head arvo.lease,
    p_worker text,
    p_lease interval,
    p_batch arvo.log[],
    p_keys bigint[] DEFAULT NULL,
    p_places bigint[] DEFAULT NULL
)
RETURNS arvo.lease
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $write_lease$
-- p_head is the newest row of a lane that the caller holds, its cursor moved on. Expiry never
-- decreases along a lane, so that the oldest open lease is the first to lapse. Returns the new row.
--
--   Reads    arvo.clock, arvo.slot
--   Writes   arvo.lease (one row)
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_xids xid8[];
    v_low xid8;
    v_high xid8;
    v_deliveries bigint[];
BEGIN
    IF cardinality(p_batch) = 1 THEN
        v_deliveries := ARRAY[p_batch[1].delivery];
        v_low := p_batch[1].xid;
        v_high := v_low;
    ELSE
        SELECT
            array_agg(taken.delivery ORDER BY taken.ordinal),
            array_agg(taken.xid ORDER BY taken.ordinal),
            min(taken.xid),
            max(taken.xid)
        INTO v_deliveries, v_xids, v_low, v_high
        FROM (
            SELECT entry.delivery, entry.xid, row_number() OVER () AS ordinal
            FROM unnest(p_batch) AS entry
        ) AS taken;
    END IF;
    IF v_low = v_high THEN
        v_xids := ARRAY[v_low];
    END IF;

    p_head.slot := arvo.slot();
    p_head.number := p_head.number + 1;
    p_head.token := (nextval('arvo.lease_number'::regclass) << 12)
        | floor(random() * 4096)::bigint;
    p_head.worker := p_worker;
    p_head.leased_at := arvo.clock();
    p_head.expires_at := greatest(p_head.leased_at + p_lease, p_head.expires_at);
    p_head.carried := false;
    p_head.deliveries := v_deliveries;
    p_head.low_xid := v_low;
    p_head.high_xid := v_high;
    p_head.xids := v_xids;
    p_head.keys := p_keys;
    p_head.places := p_places;
    p_head.sweep_at := least(p_head.sweep_at, p_head.expires_at);
    INSERT INTO arvo.lease SELECT p_head.*;
    RETURN p_head;
END;
$write_lease$;

COMMENT ON FUNCTION arvo.write_lease(arvo.lease, text, interval, arvo.log[], bigint[], bigint[]) IS
'Leases a batch of deliveries: the next row of their lane''s ledger.';

REVOKE ALL ON FUNCTION
arvo.write_lease(arvo.lease, text, interval, arvo.log[], bigint[], bigint[]) FROM PUBLIC;
--! end

--! function arvo.wake
-- arvo.wake(queues) — tell sleeping workers that there is something to claim.
CREATE OR REPLACE FUNCTION arvo.wake(p_queues text[])
RETURNS void
LANGUAGE sql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $wake$
-- One notification per queue and transaction, sent at its commit. It is a hint, never a message:
-- workers also poll.
--
--   Reads    nothing
--   Writes   nothing (the notification queue of the server)
--   Locks    nothing
--   Raises   nothing
SELECT pg_notify('arvo_wake', named.queue)
FROM (SELECT DISTINCT listed.queue FROM unnest(p_queues) AS listed (queue)) AS named;
$wake$;

COMMENT ON FUNCTION arvo.wake(text[]) IS
'Notifies the wake-up channel once per queue.';

REVOKE ALL ON FUNCTION arvo.wake(text[]) FROM PUBLIC;
--! end

DROP FUNCTION arvo.verdicts(arvo.parted, arvo.result[]);
--! function arvo.verdicts
--! end

--! function arvo.sweep_notes
-- arvo.sweep_notes(limit) — remove what was written down long ago.
CREATE OR REPLACE FUNCTION arvo.sweep_notes(p_limit integer)
RETURNS integer
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $sweep_notes$
-- Up to p_limit rows of each kind:
--
--   omission              older than delete_after
--   dead                  resolved longer ago than delete_after; open ones stay for ever
--   operation             older than 90 days
--   registration          older than 30 days
--   generation            emptied, and eight newer ones are there
--   event_key_generation  the newest and the one before it stay
--
-- Returns how many rows.
--
--   Reads    arvo.clock, arvo.delete_after
--   Writes   arvo.omission, arvo.dead, arvo.operation, arvo.registration, arvo.generation,
--            arvo.event_key_generation
--   Locks    the rows deleted; those of arvo.dead and arvo.registration unless somebody holds them
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
    v_before timestamptz := v_now - arvo.delete_after();
    v_count integer;
    v_swept integer := 0;
BEGIN
    DELETE FROM arvo.omission
    WHERE omission.number IN (
        SELECT old.number
        FROM arvo.omission AS old
        WHERE old.at <= v_before
        ORDER BY old.at
        LIMIT p_limit
    );
    GET DIAGNOSTICS v_count = ROW_COUNT;
    v_swept := v_swept + v_count;

    WITH resolved AS MATERIALIZED (
        SELECT old.dead
        FROM arvo.dead AS old
        WHERE old.resolution IS NOT NULL AND old.resolved_at <= v_before
        ORDER BY old.resolved_at
        LIMIT p_limit
        FOR UPDATE SKIP LOCKED
    )

    DELETE FROM arvo.dead
    USING resolved
    WHERE dead.dead = resolved.dead;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    v_swept := v_swept + v_count;

    -- Their numbers grow as their times do.
    DELETE FROM arvo.operation
    WHERE operation.number IN (
        SELECT old.number FROM arvo.operation AS old ORDER BY old.number LIMIT p_limit
    )
    AND operation.at <= v_now - interval '90 days';
    GET DIAGNOSTICS v_count = ROW_COUNT;
    v_swept := v_swept + v_count;

    WITH gone AS MATERIALIZED (
        SELECT old.queue, old.worker
        FROM arvo.registration AS old
        WHERE old.at <= v_now - interval '30 days'
        LIMIT p_limit
        FOR UPDATE SKIP LOCKED
    )

    DELETE FROM arvo.registration
    USING gone
    WHERE registration.queue = gone.queue AND registration.worker = gone.worker;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    v_swept := v_swept + v_count;

    DELETE FROM arvo.generation
    WHERE generation.emptied_at IS NOT NULL
    AND generation.number < (
        SELECT newest.number
        FROM arvo.generation AS newest
        ORDER BY newest.number DESC
        OFFSET 7
        LIMIT 1
    );
    GET DIAGNOSTICS v_count = ROW_COUNT;
    v_swept := v_swept + v_count;

    DELETE FROM arvo.event_key_generation
    WHERE event_key_generation.number < (
        SELECT max(newest.number) - 1 FROM arvo.event_key_generation AS newest
    );
    GET DIAGNOSTICS v_count = ROW_COUNT;
    RETURN v_swept + v_count;
END;
$sweep_notes$;

COMMENT ON FUNCTION arvo.sweep_notes(integer) IS
'Removes old omissions, resolved dead letters, audit and registrations; returns how many rows.';

REVOKE ALL ON FUNCTION arvo.sweep_notes(integer) FROM PUBLIC;
--! end

--! function arvo.slot
-- arvo.slot() — the generation slot that new rows are stamped with.
CREATE OR REPLACE FUNCTION arvo.slot()
RETURNS smallint
LANGUAGE sql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $slot$
-- The log, the leases and the journal live in four partitions that are filled in turn and emptied
-- whole. The newest generation names the one in use.
--
--   Reads    arvo.generation
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT generation.slot
FROM arvo.generation
ORDER BY generation.number DESC
LIMIT 1;
$slot$;

COMMENT ON FUNCTION arvo.slot() IS
'Partition of log, lease and closure that is in use.';

REVOKE ALL ON FUNCTION arvo.slot() FROM PUBLIC;
--! end

DROP FUNCTION arvo.sleep_keys(text[]);
--! function arvo.sleep_keys
--! end

--! function arvo.retire
-- arvo.retire(queue, head, batch, parked) — make dead letters of deliveries that waited too long.
CREATE OR REPLACE FUNCTION arvo.retire(
    p_queue arvo.queue,
    p_head arvo.lease,
    p_batch arvo.log[],
    p_parked boolean
)
RETURNS integer
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $retire$
-- p_head is the newest row of a lane that the caller holds (with the home lane of a gated queue), its
-- cursor moved on behind p_batch, unless that stood in line. The batch is leased to nobody and closed
-- at once: what was withdrawn as that says, of all others a dead letter is made, with the attempts
-- that were really charged. Keys count them as running for that moment, so that they are freed as
-- after any run. Returns how many dead letters.
--
--   Reads    arvo.tombstone, arvo.clock, arvo.slot; as arvo.turn_of
--   Writes   arvo.closure; as arvo.put_turn, arvo.write_lease, arvo.leave_queued, arvo.withdraw,
--            arvo.bury and arvo.finish
--   Locks    as arvo.withdraw, arvo.bury and arvo.finish
--   Raises   nothing
DECLARE
    v_batch arvo.log[] := p_batch;
    v_deliveries bigint[];
    v_keys bigint[];
    v_key bigint;
    v_turn arvo.turn;
    v_lease arvo.lease;
    v_entry arvo.log;
BEGIN
    IF p_queue.gated THEN
        v_keys := ARRAY(SELECT arvo.key_for(p_queue, entry) FROM unnest(p_batch) AS entry);
        FOR v_key, v_deliveries IN
            SELECT arvo.key_for(p_queue, entry), array_agg(entry.delivery)
            FROM unnest(p_batch) AS entry
            GROUP BY arvo.key_for(p_queue, entry)
            UNION ALL
            SELECT 0, array_agg(entry.delivery)
            FROM unnest(p_batch) AS entry
            ORDER BY 1
        LOOP
            v_turn := arvo.turn_of(p_queue.queue, v_key);
            v_turn.active := v_turn.active + cardinality(v_deliveries);
            IF p_parked AND v_key <> 0 THEN
                v_turn.waiting := greatest(v_turn.waiting - cardinality(v_deliveries), 0);
            END IF;
            IF v_turn.holder = ANY (v_deliveries) THEN
                v_turn.holder := NULL;
            END IF;
            PERFORM arvo.put_turn(p_queue, v_turn);
        END LOOP;
    END IF;

    v_lease := arvo.write_lease(p_head, 'arvo.maintain', interval '0', p_batch, v_keys);
    IF EXISTS (SELECT FROM arvo.tombstone WHERE tombstone.lane = v_lease.lane) THEN
        v_batch := arvo.withdraw(p_queue, v_lease, p_batch);
    END IF;
    IF p_queue.slotted THEN
        PERFORM arvo.leave_queued(p_queue, v_batch);
    END IF;
    IF v_batch = '{}' THEN
        RETURN 0;
    END IF;
    v_deliveries := ARRAY(SELECT entry.delivery FROM unnest(v_batch) AS entry);
    INSERT INTO arvo.closure (slot, token, at, deliveries, outcomes, run_times)
    VALUES (
        arvo.slot(), v_lease.token, arvo.clock(), v_deliveries, '{dead}',
        array_fill(NULL::integer, ARRAY[cardinality(v_deliveries)])
    );
    FOREACH v_entry IN ARRAY v_batch LOOP
        v_entry.attempt := v_entry.attempt - 1;
        PERFORM arvo.bury(
            v_entry, p_queue, 'retention',
            jsonb_build_object(
                'name', 'RetentionExpired',
                'message', format('not run within %s of being ready', p_queue.retention),
                'stack', NULL
            )
        );
    END LOOP;
    PERFORM arvo.finish(p_queue, v_lease, v_deliveries);
    RETURN cardinality(v_batch);
END;
$retire$;

COMMENT ON FUNCTION arvo.retire(arvo.queue, arvo.lease, arvo.log[], boolean) IS
'Leases deliveries that waited too long to nobody and makes dead letters of them; returns how many.';

REVOKE ALL ON FUNCTION arvo.retire(arvo.queue, arvo.lease, arvo.log[], boolean) FROM PUBLIC;
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
-- dump was restored there, deliveries would be passed over without a word. A dump that was restored
-- into the cluster it came from, or into a copy of that cluster, is told by the oid of arvo.origin.
--
--   Reads    arvo.origin, pg_control_system; as arvo.whereabouts, before it refuses
--   Writes   nothing
--   Locks    nothing
--   Raises   RV902  the newest origin is another cluster, or this is a restored dump
DECLARE
    v_here bigint := (SELECT control.system_identifier FROM pg_control_system() AS control);
    v_home bigint;
    v_relation oid;
    v_whereabouts text;
BEGIN
    SELECT origin.system_identifier, origin.relation INTO v_home, v_relation
    FROM arvo.origin
    ORDER BY origin.number DESC
    LIMIT 1;
    IF v_home = v_here AND coalesce(v_relation = 'arvo.origin'::regclass::oid, true) THEN
        RETURN;
    END IF;
    v_whereabouts := arvo.whereabouts();
    RAISE EXCEPTION 'transaction numbers are of another cluster'
    USING ERRCODE = 'RV902',
          DETAIL = format(
              'They are of cluster %s, up to %s; %s is %s, at %s.',
              v_home, arvo.numbers_end(),
              CASE WHEN v_home = v_here THEN 'this restored dump' ELSE 'this' END,
              v_here, pg_snapshot_xmin(pg_current_snapshot())
          ),
          HINT = CASE v_whereabouts
              WHEN 'upgraded' THEN
                  'This looks like pg_upgrade, which keeps the numbers: call accept_cluster() as'
                  ' operator, once. After a dump was restored it would be rebase().'
              ELSE
                  'This looks like a restored dump: call rebase() as operator, once; it takes over'
                  ' what waits here, so the original must no longer run. After pg_upgrade it'
                  ' would be accept_cluster().'
          END;
END;
$require_home$;

COMMENT ON FUNCTION arvo.require_home() IS
'Raises RV902 unless the stored transaction numbers are of this cluster.';

REVOKE ALL ON FUNCTION arvo.require_home() FROM PUBLIC;
--! end

--! function arvo.read_window
-- arvo.read_window(head, limit, upto) — the next rows of a lane's log.
CREATE OR REPLACE FUNCTION arvo.read_window(
    p_head arvo.lease,
    p_limit integer,
    p_upto pg_snapshot DEFAULT NULL
)
RETURNS arvo.reading
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $read_window$
-- p_head is the newest lease row of a lane that the caller holds: a window between two snapshots, and
-- the position reached in it. A row belongs to the window if its transaction is visible in the newer
-- snapshot and not in the older one, so a transaction that commits late is found, exactly once,
-- whatever its number; one that stays open blocks nobody; one that rolls back leaves no trace. When
-- the window has been read to its end, the next one is opened: up to now, or up to p_upto. Order is
-- by window, then transaction, then delivery. An empty batch means that the cursor stays where it is.
--
--   Reads    arvo.log by (lane, xid, delivery)
--   Writes   nothing
--   Locks    nothing
--   Raises   RV902  the stored transaction numbers belong to another cluster
DECLARE
    v_reading arvo.reading;
    v_from_xid xid8;
    v_from_delivery bigint;
    v_late xid8[];
    v_count integer;
BEGIN
    FOR v_try IN 1..2 LOOP
        IF p_head.exhausted OR v_try = 2 THEN
            v_reading.previous_snapshot := p_head.snapshot;
            v_reading.snapshot := coalesce(p_upto, arvo.window_snapshot());
            v_reading.last_xid := '0';
            v_reading.last_delivery := 0;
            -- It may be older than a window that was opened while it was on its way.
            IF p_upto::text = p_head.snapshot::text
                OR pg_snapshot_xmax(p_upto) < pg_snapshot_xmax(p_head.snapshot)
            THEN
                v_reading.batch := '{}';
                RETURN v_reading;
            END IF;
            IF pg_snapshot_xmax(v_reading.snapshot) < pg_snapshot_xmax(v_reading.previous_snapshot)
            THEN
                RAISE EXCEPTION 'transaction numbers are of another cluster'
                USING ERRCODE = 'RV902',
                      DETAIL = format(
                          'lane %s was read up to transaction %s; this cluster is at %s.',
                          p_head.lane, pg_snapshot_xmax(v_reading.previous_snapshot),
                          pg_snapshot_xmax(v_reading.snapshot)
                      ),
                      HINT = 'The database was restored into another cluster: see rebase().';
            END IF;
        ELSE
            v_reading.previous_snapshot := p_head.previous_snapshot;
            v_reading.snapshot := p_head.snapshot;
            v_reading.last_xid := p_head.last_xid;
            v_reading.last_delivery := p_head.last_delivery;
        END IF;

        -- Late transactions of the older snapshot come first, then everything that is newer.
        v_from_xid := pg_snapshot_xmax(v_reading.previous_snapshot);
        v_from_delivery := 0;
        v_late := '{}';
        IF v_reading.last_xid >= v_from_xid THEN
            v_from_xid := v_reading.last_xid;
            v_from_delivery := v_reading.last_delivery;
        ELSIF pg_snapshot_xmin(v_reading.previous_snapshot) < v_from_xid THEN
            SELECT coalesce(array_agg(listed.xid), '{}') INTO v_late
            FROM pg_snapshot_xip(v_reading.previous_snapshot) AS listed (xid)
            WHERE pg_visible_in_snapshot(listed.xid, v_reading.snapshot)
            AND listed.xid >= v_reading.last_xid;
        END IF;

        v_reading.batch := '{}';
        IF v_late <> '{}' THEN
            SELECT coalesce(array_agg(taken.entry ORDER BY taken.xid, taken.delivery), '{}')
            INTO v_reading.batch
            FROM (
                SELECT found.entry, found.xid, found.delivery
                FROM unnest(v_late) AS listed (xid)
                CROSS JOIN LATERAL (
                    SELECT log AS entry, log.xid, log.delivery
                    FROM arvo.log
                    WHERE log.lane = p_head.lane
                    AND log.xid = listed.xid
                    AND log.delivery > CASE
                        WHEN listed.xid = v_reading.last_xid THEN v_reading.last_delivery ELSE 0
                    END
                    ORDER BY log.delivery
                    LIMIT p_limit
                ) AS found
                ORDER BY found.xid, found.delivery
                LIMIT p_limit
            ) AS taken;
        END IF;
        IF cardinality(v_reading.batch) < p_limit THEN
            SELECT v_reading.batch || coalesce(
                array_agg(taken.entry ORDER BY taken.xid, taken.delivery), '{}'
            )
            INTO v_reading.batch
            FROM (
                SELECT log AS entry, log.xid, log.delivery
                FROM arvo.log
                WHERE log.lane = p_head.lane
                AND (log.xid, log.delivery) > (v_from_xid, v_from_delivery)
                AND log.xid < pg_snapshot_xmax(v_reading.snapshot)
                AND pg_visible_in_snapshot(log.xid, v_reading.snapshot)
                ORDER BY log.xid, log.delivery
                LIMIT p_limit - cardinality(v_reading.batch)
            ) AS taken;
        END IF;
        -- A window that ended exactly at the limit leaves nothing: then open the next one now.
        EXIT WHEN v_reading.batch <> '{}' OR p_head.exhausted;
    END LOOP;

    v_count := cardinality(v_reading.batch);
    IF v_count > 0 THEN
        v_reading.last_xid := v_reading.batch[v_count].xid;
        v_reading.last_delivery := v_reading.batch[v_count].delivery;
        v_reading.exhausted := v_count < p_limit;
    END IF;
    RETURN v_reading;
END;
$read_window$;

COMMENT ON FUNCTION arvo.read_window(arvo.lease, integer, pg_snapshot) IS
'The next rows of a lane''s log after its cursor, and where the cursor stands then.';

REVOKE ALL ON FUNCTION arvo.read_window(arvo.lease, integer, pg_snapshot) FROM PUBLIC;
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
    NULL::bigint,
    NULL::xid8,
    NULL::bigint,
    NULL::bigint,
    NULL::bigint
FROM checked
ORDER BY checked.ordinal;
$read_results$;

COMMENT ON FUNCTION arvo.read_results(jsonb) IS
'The results of a settlement as rows; malformed ones are refused one by one.';

REVOKE ALL ON FUNCTION arvo.read_results(jsonb) FROM PUBLIC;
--! end

--! function arvo.put_turns
-- arvo.put_turns(queue, turns) — write the new states of some keys.
CREATE OR REPLACE FUNCTION arvo.put_turns(p_queue arvo.queue, p_turns arvo.turn[])
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $put_turns$
-- The number of each is that of the row which it replaces; NULL for none. The row before is deleted at
-- once: it has a lower number, and look-ups begin at the highest. A key that has somebody waiting and
-- room for them goes to the end of the line of keys to be served.
--
--   Reads    arvo.clock
--   Writes   arvo.turn, arvo.ready; as arvo.wake
--   Locks    nothing; the caller holds the queue's home lane
--   Raises   nothing
DECLARE
    v_readied bigint;
BEGIN
    WITH given AS MATERIALIZED (
        SELECT
            turn.*,
            nextval('arvo.turn_number'::regclass) AS next_number,
            CASE
                WHEN turn.waiting > 0 AND NOT turn.ready
                    THEN arvo.key_room(p_queue, turn) > 0
                ELSE false
            END AS readied
        FROM unnest(p_turns) AS turn
    ),

    written AS (
        INSERT INTO arvo.turn (
            queue, key, number, active, waiting, upto, holder, ready, tally, at
        )
        SELECT
            given.queue, given.key, given.next_number, given.active, given.waiting, given.upto,
            given.holder, given.ready OR given.readied, given.tally, arvo.clock()
        FROM given
    ),

    served AS (
        INSERT INTO arvo.ready (queue, number, key)
        SELECT given.queue, given.next_number, given.key
        FROM given
        WHERE given.readied
        ORDER BY given.next_number
        RETURNING ready.key
    ),

    replaced AS (
        DELETE FROM arvo.turn AS gone
        USING given
        WHERE gone.queue = given.queue AND gone.key = given.key AND gone.number = given.number
    )

    SELECT count(*) INTO v_readied FROM served;
    IF v_readied > 0 THEN
        PERFORM arvo.wake(ARRAY[p_queue.name]);
    END IF;
END;
$put_turns$;

COMMENT ON FUNCTION arvo.put_turns(arvo.queue, arvo.turn[]) IS
'Replaces the states of some keys, and has those served that somebody waits for and that have room.';

REVOKE ALL ON FUNCTION arvo.put_turns(arvo.queue, arvo.turn[]) FROM PUBLIC;
--! end

DROP FUNCTION arvo.put_states(arvo.result[]);
--! function arvo.put_states
--! end

DROP FUNCTION arvo.printed_size(jsonb);
--! function arvo.printed_size
--! end

--! function arvo.pass_turns
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
--   Writes   arvo.closure, arvo.parked; as arvo.put_turns and arvo.wake
--   Locks    nothing; the caller holds the leases, and the queue's home lane
--   Raises   nothing
DECLARE
    v_key record;
    v_turn arvo.turn;
    v_turns arvo.turn[] := '{}'::arvo.turn[];
    v_lease arvo.lease;
    v_back arvo.result;
    v_rest bigint[];
    v_freed integer := 0;
    v_full boolean;
BEGIN
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
--! end

--! function arvo.pass_on
-- arvo.pass_on(items) — settled deliveries free their keys and places.
CREATE OR REPLACE FUNCTION arvo.pass_on(p_items arvo.result[])
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $pass_on$
-- After their closures have been written. Only queues that are gated or slotted have anything to do.
--
--   Reads    arvo.lane, arvo.queue, arvo.lease by token
--   Writes   as arvo.pass_turns and arvo.leave_places
--   Locks    as arvo.leave_places; the caller holds the home lanes of the gated queues
--   Raises   nothing
DECLARE
    v_queue arvo.queue;
    v_items arvo.result[];
    v_lease arvo.lease;
    v_token bigint;
    v_deliveries bigint[];
BEGIN
    FOR v_queue IN
        SELECT queue.*
        FROM (
            SELECT DISTINCT lane.queue
            FROM unnest(p_items) AS item
            INNER JOIN arvo.lane ON lane.lane = item.lane
        ) AS met
        INNER JOIN arvo.queue ON queue.queue = met.queue
        WHERE queue.gated OR queue.slotted
    LOOP
        SELECT array_agg(item ORDER BY item.ordinal) INTO v_items
        FROM unnest(p_items) AS item
        INNER JOIN arvo.lane ON lane.lane = item.lane AND lane.queue = v_queue.queue
        WHERE item.verdict IS NULL OR item.verdict NOT IN ('refused', 'already');
        CONTINUE WHEN v_items IS NULL;
        IF v_queue.gated THEN
            PERFORM arvo.pass_turns(v_queue, v_items);
        END IF;
        CONTINUE WHEN NOT v_queue.slotted;
        FOR v_token, v_deliveries IN
            SELECT item.lease, array_agg(item.delivery)
            FROM unnest(v_items) AS item
            WHERE item.verdict IS NULL OR item.verdict = 'dead'
            GROUP BY item.lease
        LOOP
            SELECT newest.* INTO STRICT v_lease
            FROM arvo.lease AS newest
            WHERE newest.token = v_token
            ORDER BY newest.number DESC
            LIMIT 1;
            PERFORM arvo.leave_places(v_queue, v_lease, v_deliveries);
        END LOOP;
    END LOOP;
END;
$pass_on$;

COMMENT ON FUNCTION arvo.pass_on(arvo.result[]) IS
'Frees keys and places of deliveries that a settlement has closed.';

REVOKE ALL ON FUNCTION arvo.pass_on(arvo.result[]) FROM PUBLIC;
--! end

--! function arvo.order_results
-- arvo.order_results(items) — which results of ordered keys come out of order.
CREATE OR REPLACE FUNCTION arvo.order_results(p_items arvo.result[])
RETURNS arvo.result[]
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $order_results$
-- The deliveries of one key in one lease are a run, to be worked through in order. A result is
-- refused when an earlier delivery of its run is still open (RV303: settle that one first), or is not
-- completed in this very call (RV301: the rest of the run goes back). A queue that is not ordered any
-- more has no runs: its results lose their places. The caller holds the leases.
--
--   Reads    arvo.lease and arvo.closure, by token; arvo.lane, arvo.queue
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_lease bigint;
    v_key bigint;
    v_at integer;
    v_delivery bigint;
    v_blocked text;
    v_earlier bigint;
BEGIN
    FOR v_at IN
        SELECT item.ordinal
        FROM unnest(p_items) AS item
        INNER JOIN arvo.lane ON lane.lane = item.lane
        INNER JOIN arvo.queue ON queue.queue = lane.queue
        WHERE item.place IS NOT NULL AND queue.policy <> 'ordered'
    LOOP
        p_items[v_at].place := NULL;
    END LOOP;

    FOR v_lease, v_key IN
        SELECT DISTINCT item.lease, item.key
        FROM unnest(p_items) AS item
        WHERE item.place IS NOT NULL AND item.verdict IS NULL
    LOOP
        v_blocked := NULL;
        FOR v_at, v_delivery IN
            SELECT item.ordinal, leased.delivery
            FROM (
                SELECT newest.deliveries, newest.keys, newest.places
                FROM arvo.lease AS newest
                WHERE newest.token = v_lease
                ORDER BY newest.number DESC
                LIMIT 1
            ) AS held
            CROSS JOIN LATERAL
                unnest(held.deliveries, held.keys, held.places) AS leased (delivery, key, place)
            INNER JOIN unnest(arvo.open_deliveries(v_lease, held.deliveries)) AS open (delivery)
                ON open.delivery = leased.delivery
            LEFT JOIN unnest(p_items) AS item
                ON item.lease = v_lease AND item.delivery = leased.delivery
                AND item.code IS DISTINCT FROM 'RV006'
            WHERE leased.key = v_key
            ORDER BY leased.place
        LOOP
            IF v_at IS NULL OR p_items[v_at].verdict IS NOT NULL THEN
                v_blocked := coalesce(v_blocked, 'RV303');
                v_earlier := coalesce(v_earlier, v_delivery);
            ELSIF v_blocked IS NOT NULL THEN
                p_items[v_at].verdict := 'refused';
                p_items[v_at].code := v_blocked;
                p_items[v_at].detail := format(
                    'delivery %s is not completed, and comes before it', v_earlier
                );
            ELSIF p_items[v_at].asked <> 'completed' THEN
                v_blocked := 'RV301';
                v_earlier := v_delivery;
            END IF;
        END LOOP;
        v_earlier := NULL;
    END LOOP;
    RETURN p_items;
END;
$order_results$;

COMMENT ON FUNCTION arvo.order_results(arvo.result[]) IS
'Refuses results of ordered keys whose predecessor in the lease is not completed.';

REVOKE ALL ON FUNCTION arvo.order_results(arvo.result[]) FROM PUBLIC;
--! end

DROP FUNCTION arvo.open_writers();
--! function arvo.open_writers
--! end

DROP FUNCTION arvo.note_start();
--! function arvo.note_start
--! end

DROP FUNCTION arvo.note_keys(integer[], bytea[], bigint[]);
--! function arvo.note_keys
--! end

--! function arvo.mark_duplicates
-- arvo.mark_duplicates(items) — which arriving events have been dispatched before.
CREATE OR REPLACE FUNCTION arvo.mark_duplicates(p_items arvo.arrival[])
RETURNS arvo.arrival[]
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $mark_duplicates$
-- The same source and id, again to the same queue within its window, is a duplicate; also the second
-- of two in one call. A dispatch of the same event that is still open is waited for: nobody can
-- know yet whether it will be there.
--
-- Keys are kept in three partitions, in use one after the other. A sequence names the one in use, so
-- that every snapshot sees the newest. While a transaction that may know only the one before can be
-- running, keys go into both; afterwards the one before is only looked at.
--
--   Reads    arvo.event_key_number, arvo.event_key_generation, arvo.event_key, arvo.queue, arvo.clock
--   Writes   arvo.event_key
--   Locks    arvo.event_key rows, by (queue, key)
--   Raises   40001  under REPEATABLE READ: somebody dispatched the same event meanwhile
DECLARE
    v_now timestamptz := arvo.clock();
    v_number bigint;
    v_own xid8;
    v_written integer;
    v_turning boolean;
    v_slot integer;
    v_ordinals integer[];
    v_queues integer[];
    v_keys bytea[];
    v_deliveries bigint[];
    v_first bigint[];
BEGIN
    SELECT
        array_agg(arrived.ordinal ORDER BY arrived.ordinal),
        array_agg(arrived.queue ORDER BY arrived.ordinal),
        array_agg(arvo.event_digest(arrived.event) ORDER BY arrived.ordinal),
        array_agg(arrived.delivery ORDER BY arrived.ordinal)
    INTO v_ordinals, v_queues, v_keys, v_deliveries
    FROM unnest(p_items) AS arrived
    INNER JOIN arvo.queue ON queue.queue = arrived.queue
    WHERE queue.deduplicate_for > interval '0';
    IF v_ordinals IS NULL THEN
        RETURN p_items;
    END IF;

    -- First its own number, then which partition: see arvo.event_key_generation.
    v_own := pg_current_xact_id();
    SELECT
        current.last_value,
        generation.horizon IS NULL
        OR pg_snapshot_xmin(pg_current_snapshot()) < generation.horizon
    INTO v_number, v_turning
    FROM arvo.event_key_number AS current
    LEFT JOIN arvo.event_key_generation AS generation ON generation.number = current.last_value
    WHERE v_own IS NOT NULL;

    v_first := array_fill(NULL::bigint, ARRAY[cardinality(v_ordinals)]);
    FOREACH v_slot IN ARRAY CASE
        WHEN v_number = 0 THEN '{0}'
        ELSE ARRAY[(v_number - 1) % 3, v_number % 3]::integer[]
    END LOOP
        v_written := 0;
        IF v_turning OR v_slot = v_number % 3 THEN
            INSERT INTO arvo.event_key AS known (slot, queue, key, delivery, at)
            SELECT DISTINCT ON (item.queue, item.key)
                v_slot, item.queue, item.key, item.delivery, v_now
            FROM unnest(v_queues, v_keys, v_deliveries, v_first) WITH ORDINALITY
                AS item (queue, key, delivery, first, ordinal)
            WHERE item.first IS NULL
            ORDER BY item.queue, item.key, item.ordinal
            ON CONFLICT (slot, queue, key) DO UPDATE
            SET delivery = excluded.delivery, at = excluded.at
            WHERE known.at <= (
                SELECT v_now - queue.deduplicate_for
                FROM arvo.queue
                WHERE queue.queue = excluded.queue
            );
            GET DIAGNOSTICS v_written = ROW_COUNT;
        END IF;
        -- As a rule every key was new.
        CONTINUE WHEN v_written = cardinality(v_ordinals);
        SELECT array_agg(
            coalesce(item.first, nullif(item.known, item.delivery)) ORDER BY item.ordinal
        )
        INTO v_first
        FROM unnest(v_deliveries, v_first, arvo.known_keys(v_slot, v_queues, v_keys))
            WITH ORDINALITY AS item (delivery, first, known, ordinal);
    END LOOP;

    FOR v_at IN 1..cardinality(v_ordinals) LOOP
        IF v_first[v_at] IS NOT NULL THEN
            p_items[v_ordinals[v_at]].outcome := 'duplicate';
            p_items[v_ordinals[v_at]].first_delivery := v_first[v_at];
        END IF;
    END LOOP;
    RETURN p_items;
END;
$mark_duplicates$;

COMMENT ON FUNCTION arvo.mark_duplicates(arvo.arrival[]) IS
'Marks arriving events whose source and id have been dispatched to the same queue within its window.';

REVOKE ALL ON FUNCTION arvo.mark_duplicates(arvo.arrival[]) FROM PUBLIC;
--! end

DROP FUNCTION arvo.look_ahead();
--! function arvo.look_ahead
--! end

--! function arvo.lease_of
-- arvo.lease_of(lane, xid, delivery) — the lease that a logged delivery was handed out under.
CREATE OR REPLACE FUNCTION arvo.lease_of(p_lane integer, p_xid xid8, p_delivery bigint)
RETURNS arvo.lease
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = on
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $lease_of$
-- NULL when it has not been claimed. In a plain queue leases follow the order of the log, so it is
-- the first whose position is not before it. In a gated queue it may have been parked, and is looked
-- up by its number. What is left are leases that were not made by a claim: the first whose range of
-- transactions holds it. Heartbeats continue a lease in new rows; this is the first. The index of
-- deliveries can be read as a bitmap only, which callers may have turned off.
--
--   Reads    arvo.lease by (lane, number), deliveries and (lane, high_xid, last_delivery), arvo.parked
--            by delivery
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_lease arvo.lease;
BEGIN
    SELECT head.* INTO v_lease
    FROM arvo.lease AS head
    WHERE head.lane = p_lane
    ORDER BY head.number DESC
    LIMIT 1;
    IF arvo.is_unclaimed(v_lease, p_xid, p_delivery)
        OR EXISTS (SELECT FROM arvo.parked WHERE parked.delivery = p_delivery)
    THEN
        RETURN NULL;
    END IF;

    SELECT found.* INTO v_lease
    FROM (
        SELECT lease.*
        FROM arvo.lease
        WHERE lease.keys IS NOT NULL AND lease.deliveries @> ARRAY[p_delivery]
        OFFSET 0
    ) AS found
    WHERE found.lane = p_lane AND found.token <> 0 AND NOT found.carried
    LIMIT 1;
    IF FOUND THEN
        RETURN v_lease;
    END IF;

    SELECT lease.* INTO v_lease
    FROM arvo.lease
    WHERE lease.lane = p_lane
    AND (lease.high_xid, lease.last_delivery) >= (p_xid, p_delivery)
    AND lease.low_xid <= p_xid
    AND lease.token <> 0
    AND NOT lease.carried
    AND p_delivery = ANY (lease.deliveries)
    ORDER BY lease.high_xid, lease.last_delivery
    LIMIT 1;
    IF FOUND THEN
        RETURN v_lease;
    END IF;

    SELECT lease.* INTO v_lease
    FROM arvo.lease
    WHERE lease.lane = p_lane
    AND lease.high_xid >= p_xid
    AND lease.low_xid <= p_xid
    AND lease.token <> 0
    AND NOT lease.carried
    AND p_delivery = ANY (lease.deliveries)
    ORDER BY lease.high_xid, lease.number
    LIMIT 1;
    RETURN v_lease;
END;
$lease_of$;

COMMENT ON FUNCTION arvo.lease_of(integer, xid8, bigint) IS
'The first row of the lease that a logged delivery was handed out under; NULL when it was not.';

REVOKE ALL ON FUNCTION arvo.lease_of(integer, xid8, bigint) FROM PUBLIC;
--! end

--! function arvo.lease_key
-- arvo.lease_key(token) — the transaction lock that guards a lease.
CREATE OR REPLACE FUNCTION arvo.lease_key(p_token bigint)
RETURNS bigint
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $lease_key$
-- Advisory locks share one space of numbers with the application; a token by itself would be a low
-- one, such as applications use.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT hashint8extended(p_token, hashtextextended('arvo', 1));
$lease_key$;

COMMENT ON FUNCTION arvo.lease_key(bigint) IS
'Key of the advisory lock that guards a lease.';

REVOKE ALL ON FUNCTION arvo.lease_key(bigint) FROM PUBLIC;
--! end

DROP FUNCTION arvo.lanes_to_claim(text[], integer, integer[], interval);
--! function arvo.lanes_to_claim
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
-- again: "already", with code RV101. What was released, or went back with the rest of its run, runs
-- elsewhere: any other result of it is refused. The caller holds the leases' locks.
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
        SELECT
            lease.token, lease.lane, lease.low_xid, lease.high_xid, lease.deliveries,
            lease.xids, lease.keys, lease.places
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
        held.xids AS held_xids,
        held.keys AS held_keys,
        held.places AS held_places,
        array_position(held.deliveries, item.delivery) AS held_at,
        closed.outcome AS closed_outcome,
        CASE
            WHEN item.verdict IS NOT NULL THEN item.verdict
            WHEN closed.outcome = 'released' AND item.asked <> 'released' THEN 'refused'
            WHEN closed.outcome NOT IN ('expired', 'cancelled', 'moved') THEN 'already'
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
        NULL,
        judged.held_xids[least(judged.held_at, cardinality(judged.held_xids))],
        judged.held_keys[judged.held_at],
        judged.held_places[judged.held_at],
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

DROP FUNCTION arvo.hold_homes(arvo.result[]);
--! function arvo.hold_homes
--! end

DROP FUNCTION arvo.has_sleeper(integer);
--! function arvo.has_sleeper
--! end

--! function arvo.hand_out
-- arvo.hand_out(queue, lease, batch) — leased deliveries, as a worker gets them.
CREATE OR REPLACE FUNCTION arvo.hand_out(
    p_queue arvo.queue,
    p_lease arvo.lease,
    p_batch arvo.log[]
)
RETURNS SETOF arvo_v1.claimed
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $hand_out$
-- In the order of the batch. Deliveries of a stateful queue come with the state of their subject.
--
--   Reads    arvo.state, by subject; as arvo.event_of
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
BEGIN
    IF p_queue.stateful OR p_queue.policy = 'ordered' THEN
        RETURN QUERY
        SELECT
            p_lease.token, taken.delivery, p_queue.name, taken.attempt, p_lease.expires_at,
            coalesce((taken.options ->> 'expire_in')::interval, p_queue.expire_in),
            whole.event, taken.cause,
            state.data,
            CASE WHEN p_queue.stateful THEN coalesce(state.version, 0) END,
            CASE WHEN p_queue.policy = 'ordered' THEN arvo.key_for(p_queue, taken) END
        FROM unnest(p_batch) AS taken
        CROSS JOIN LATERAL (SELECT arvo.event_of(taken) AS event) AS whole
        LEFT JOIN arvo.state
            ON p_queue.stateful
            AND state.subject_digest = arvo.subject_digest(whole.event ->> 'subject');
    ELSE
        RETURN QUERY
        SELECT
            p_lease.token, taken.delivery, p_queue.name, taken.attempt, p_lease.expires_at,
            coalesce((taken.options ->> 'expire_in')::interval, p_queue.expire_in),
            CASE WHEN taken.event IS NULL THEN arvo.event_of(taken) ELSE taken.event END,
            taken.cause, NULL::jsonb, NULL::bigint, NULL::bigint
        FROM unnest(p_batch) AS taken;
    END IF;
END;
$hand_out$;

COMMENT ON FUNCTION arvo.hand_out(arvo.queue, arvo.lease, arvo.log[]) IS
'Leased deliveries with events, and states where the queue is stateful.';

REVOKE ALL ON FUNCTION arvo.hand_out(arvo.queue, arvo.lease, arvo.log[]) FROM PUBLIC;
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
    -- Its size as stored says nothing: it may come compressed out of a table, and a number of nine
    -- characters may print as 131,072 digits.
    IF octet_length(p_event::text) > 1048576 THEN
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
    IF p_event ->> 'time' !~ '^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)$' THEN
        RETURN 'time: must be an ISO 8601 time with its offset from UTC';
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

--! function arvo.event_digest
-- arvo.event_digest(event) — the deduplication key of an event.
CREATE OR REPLACE FUNCTION arvo.event_digest(p_event jsonb)
RETURNS bytea
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $event_digest$
-- CloudEvents: source and id together name an event. The length keeps the two apart.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT substr(
    sha256(convert_to(
        format(
            '%s:%s%s',
            length(p_event ->> 'source'), p_event ->> 'source', p_event ->> 'id'
        ),
        'UTF8'
    )),
    1, 16
);
$event_digest$;

COMMENT ON FUNCTION arvo.event_digest(jsonb) IS
'First 16 bytes of the SHA-256 of an event''s source and id.';

REVOKE ALL ON FUNCTION arvo.event_digest(jsonb) FROM PUBLIC;
--! end

DROP FUNCTION arvo.completion_of(jsonb);
--! function arvo.completion_of
--! end

DROP FUNCTION arvo.close_plain(jsonb);
--! function arvo.close_plain
--! end

DROP FUNCTION arvo.close_one(jsonb);
--! function arvo.close_one
--! end

--! function arvo.clock
-- arvo.clock() — the time that every decision of the engine is made by.
CREATE OR REPLACE FUNCTION arvo.clock()
RETURNS timestamptz
LANGUAGE sql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $clock$
-- The server's clock. A session of the owner (a test) may freeze it:
--     SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
-- For anybody else that setting has no effect: no client's clock decides anything.
--
--   Reads    clock_timestamp, the setting arvo.frozen_clock
--   Writes   nothing
--   Locks    nothing
--   Raises   22007  the frozen clock is not a time (owner only)
SELECT CASE
           WHEN nullif(current_setting('arvo.frozen_clock', true), '') IS NULL
               THEN clock_timestamp()
           WHEN pg_has_role(session_user, current_user, 'MEMBER')
               THEN current_setting('arvo.frozen_clock', true)::timestamptz
           ELSE clock_timestamp()
       END;
$clock$;

COMMENT ON FUNCTION arvo.clock() IS
'The server''s time, which the owner may freeze for a test; the only clock that decides anything.';

REVOKE ALL ON FUNCTION arvo.clock() FROM PUBLIC;
--! end

DROP FUNCTION arvo.claim_lanes(arvo.claimable, integer, text, integer[], interval);
--! function arvo.claim_lanes
--! end

DROP FUNCTION arvo.claim_lane(integer, integer, text, interval);
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
-- The caller holds the lane. The newest lease row is the cursor; the row that is written here is the
-- next one. A claim that finds nothing writes nothing; nor does one of a queue that has become gated
-- since the caller looked.
--
--   Reads    arvo.lease, arvo.queue; as arvo.read_window and arvo.hand_out
--   Writes   arvo.lease (one row); as arvo.heal, arvo.withdraw and arvo.free_places
--   Locks    as arvo.sweep
--   Raises   as arvo.read_window
DECLARE
    v_head arvo.lease;
    v_queue arvo.queue;
    v_open_from bigint;
    v_reading arvo.reading;
    v_batch arvo.log[];
BEGIN
    SELECT queue.* INTO STRICT v_queue
    FROM arvo.lane
    INNER JOIN arvo.queue ON queue.queue = lane.queue
    WHERE lane.lane = p_lane;
    -- Asked again under the lock: its rules may have changed since.
    IF v_queue.gated OR v_queue.paused_at IS NOT NULL THEN
        RETURN;
    END IF;

    -- Once, unless everything that was leased turns out to be withdrawn.
    LOOP
        v_head := arvo.head_of(p_lane);
        v_open_from := v_head.open_from;
        v_head := arvo.heal(v_head);
        v_reading := arvo.read_window(v_head, p_limit, v_queue.drained_to);
        v_batch := v_reading.batch;
        IF v_batch = '{}' THEN
            -- What the sweep found out is worth a row; the cursor stays where it is.
            IF v_head.open_from > v_open_from THEN
                PERFORM arvo.move_cursor(v_head);
            END IF;
            RETURN;
        END IF;

        v_head := arvo.write_lease(arvo.moved(v_head, v_reading), p_worker, p_lease, v_batch);
        IF EXISTS (SELECT FROM arvo.tombstone WHERE tombstone.lane = p_lane) THEN
            v_batch := arvo.withdraw(v_queue, v_head, v_batch);
        END IF;
        IF v_queue.slotted THEN
            PERFORM arvo.leave_queued(v_queue, v_batch);
        END IF;
        EXIT WHEN v_batch <> '{}';
    END LOOP;

    RETURN QUERY SELECT leased.* FROM arvo.hand_out(v_queue, v_head, v_batch) AS leased;
END;
$claim_lane$;

COMMENT ON FUNCTION arvo.claim_lane(integer, integer, text, interval) IS
'Leases the next deliveries of a lane whose lock the caller holds.';

REVOKE ALL ON FUNCTION arvo.claim_lane(integer, integer, text, interval) FROM PUBLIC;
--! end

--! function arvo.claim_gated
-- arvo.claim_gated(lane, home, limit, worker, lease) — lease the next deliveries of a gated queue.
CREATE OR REPLACE FUNCTION arvo.claim_gated(
    p_lane integer,
    p_home integer,
    p_limit integer,
    p_worker text,
    p_lease interval
)
RETURNS SETOF arvo_v1.claimed
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $claim_gated$
-- The caller holds the lane and p_home, the home lane of the queue, which guards all its
-- keys. First the limits of the whole queue; then deliveries that have waited, in the claim of
-- p_home, and new ones from the log, mixed so that neither starves: of several places a quarter is
-- left to new ones, a single place goes to either by chance. What may not run yet is parked; a claim
-- that finds nothing else parks up to 256 batches before it gives up.
--
--   Reads    arvo.lease, arvo.queue; as arvo.read_window, arvo.take_waiting and arvo.hand_out
--   Writes   arvo.lease, arvo.closure; as arvo.heal, arvo.take_waiting, arvo.admit, arvo.put_turn,
--            arvo.withdraw and arvo.free_places
--   Locks    as arvo.sweep; other lanes of the queue: tried, never waited for
--   Raises   as arvo.read_window
DECLARE
    v_now timestamptz := arvo.clock();
    v_queue arvo.queue;
    v_head arvo.lease;
    v_open_from bigint;
    v_whole arvo.turn;
    v_room integer;
    v_share integer;
    v_serving boolean;
    v_moved boolean := false;
    v_reading arvo.reading;
    v_more arvo.taking;
    v_all arvo.taking;
    v_lane integer;
    v_lease arvo.lease;
    v_batch arvo.log[];
    v_keys bigint[];
    v_places bigint[];
    v_found boolean := false;
BEGIN
    SELECT queue.* INTO STRICT v_queue
    FROM arvo.lane
    INNER JOIN arvo.queue ON queue.queue = lane.queue
    WHERE lane.lane = p_lane;

    -- Asked again under the lock: its rules may have changed since.
    IF NOT v_queue.gated OR v_queue.paused_at IS NOT NULL THEN
        RETURN;
    END IF;

    -- Once, unless everything that was leased turns out to be withdrawn or put off.
    LOOP
        v_head := arvo.head_of(p_lane);
        v_open_from := v_head.open_from;
        v_head := arvo.heal(v_head);
        v_moved := v_head.open_from > v_open_from;
        v_whole := arvo.turn_of(v_queue.queue, 0);
        v_room := least(
            p_limit,
            coalesce(v_queue.max_active - v_whole.active, p_limit),
            arvo.rate_room(v_whole.tally, v_queue.rate_limit, v_queue.rate_period, v_now)
        );
        v_all := arvo.no_taking(v_head.ready_from);
        -- What waits may stand in any lane of the queue: then all of them must be held.
        v_serving := p_lane = p_home AND NOT EXISTS (
            SELECT
            FROM arvo.lane
            WHERE lane.queue = v_queue.queue AND lane.lane <> p_home AND NOT lane.retired
            AND NOT pg_try_advisory_xact_lock(hashtext('arvo'), lane.lane)
        );
        v_share := CASE
            WHEN v_room > 1 THEN v_room - v_room / 4 ELSE (random() < 0.5)::integer
        END;

        FOR v_round IN 1..256 LOOP
            EXIT WHEN v_all.taken >= v_room OR (v_round > 8 AND v_all.batch <> '{}');
            IF v_serving AND v_share > v_all.taken THEN
                v_more := arvo.take_waiting(v_queue, v_all.ready_from, v_share - v_all.taken);
                v_moved := v_moved OR v_more.ready_from > v_all.ready_from;
                v_all := arvo.both(v_all, v_more);
            END IF;
            EXIT WHEN v_all.taken >= v_room;
            v_reading := arvo.read_window(v_head, v_room - v_all.taken, v_queue.drained_to);
            IF v_reading.batch <> '{}' THEN
                v_moved := true;
                v_head := arvo.moved(v_head, v_reading);
                v_more := arvo.admit(v_queue, v_reading.batch);
                v_all := arvo.both(v_all, v_more);
            END IF;
            EXIT WHEN v_share >= v_room AND (v_reading.batch = '{}' OR v_head.exhausted);
            IF v_reading.batch = '{}' OR v_head.exhausted THEN
                v_share := v_room;
                EXIT WHEN NOT v_serving;
            END IF;
        END LOOP;
        v_head.ready_from := v_all.ready_from;

        IF v_all.batch = '{}' THEN
            IF v_moved THEN
                PERFORM arvo.move_cursor(v_head);
            END IF;
            RETURN;
        END IF;
        IF v_all.taken > 0 THEN
            v_whole.active := v_whole.active + v_all.taken;
            v_whole.tally := arvo.rate_count(
                v_whole.tally, v_all.taken, v_queue.rate_period, v_now
            );
            PERFORM arvo.put_turn(v_queue, v_whole);
        END IF;

        -- A lease belongs to one lane: those that waited may have come from others.
        FOR v_lane, v_batch, v_keys, v_places IN
            SELECT
                (taken.entry).lane,
                array_agg(taken.entry ORDER BY taken.ordinal),
                array_agg(v_all.keys[taken.ordinal] ORDER BY taken.ordinal),
                array_agg(v_all.places[taken.ordinal] ORDER BY taken.ordinal)
            FROM (
                SELECT listed AS entry, row_number() OVER () AS ordinal
                FROM unnest(v_all.batch) AS listed
            ) AS taken
            GROUP BY (taken.entry).lane
            ORDER BY (taken.entry).lane <> p_lane, (taken.entry).lane
        LOOP
            v_lease := arvo.write_lease(
                CASE WHEN v_lane = p_lane THEN v_head ELSE arvo.head_of(v_lane) END,
                p_worker, p_lease, v_batch, v_keys,
                CASE WHEN v_queue.policy = 'ordered' THEN v_places END
            );
            v_moved := v_moved AND v_lane <> p_lane;
            IF v_all.put_off <> '{}' THEN
                v_batch := arvo.close_put_off(v_lease, v_batch, v_all.put_off);
            END IF;
            IF EXISTS (SELECT FROM arvo.tombstone WHERE tombstone.lane = v_lane) THEN
                v_batch := arvo.withdraw(v_queue, v_lease, v_batch);
            END IF;
            IF v_queue.slotted THEN
                PERFORM arvo.leave_queued(v_queue, v_batch);
            END IF;
            v_found := v_found OR v_batch <> '{}';
            RETURN QUERY SELECT leased.* FROM arvo.hand_out(v_queue, v_lease, v_batch) AS leased;
        END LOOP;
        -- Only leases of other lanes were written: this one's cursor has moved all the same.
        IF v_moved THEN
            PERFORM arvo.move_cursor(v_head);
        END IF;
        EXIT WHEN v_found;
    END LOOP;
END;
$claim_gated$;

COMMENT ON FUNCTION arvo.claim_gated(integer, integer, integer, text, interval) IS
'Leases deliveries of a queue with keys or limits, and parks those that must wait.';

REVOKE ALL ON FUNCTION arvo.claim_gated(integer, integer, integer, text, interval) FROM PUBLIC;
--! end

DROP FUNCTION arvo.append_plain(jsonb[], boolean, boolean);
--! function arvo.append_plain
--! end

--! function arvo.append_one
-- arvo.append_one(event, ignore_domain, emitted) — accept one plain event, or leave it to arvo.append.
CREATE OR REPLACE FUNCTION arvo.append_one(
    p_event jsonb,
    p_ignore_domain boolean DEFAULT false,
    p_emitted boolean DEFAULT false
)
RETURNS arvo_v1.dispatched
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $append_one$
-- What arvo.append does, in half of its time, for the event that most are: one, without options, to a
-- registered queue that neither defers nor limits what comes in, and not seen before. For any other it
-- has written nothing, and delivery is NULL: the caller calls arvo.append.
--
--   Reads    arvo.queue, arvo.lane, arvo.clock, arvo.slot, arvo.event_key_number,
--            arvo.event_key_generation
--   Writes   arvo.log; as arvo.note_key
--   Locks    as arvo.note_key
--   Raises   40001  as arvo.note_key
--            RV902  as arvo.require_home
DECLARE
    v_now timestamptz := arvo.clock();
    v_own xid8;
    v_domain text := p_event ->> 'domain';
    v_name text := coalesce(p_event ->> 'to', p_event ->> 'type');
    v_id text := p_event ->> 'id';
    v_queue integer;
    v_lane integer;
    v_window interval;
    v_key_from text;
    v_number bigint;
    v_delivery bigint;
    v_outcome text := 'queued';
BEGIN
    PERFORM arvo.require_home();
    IF v_domain IS NOT NULL AND NOT p_ignore_domain THEN
        v_name := 'arvo.domain.' || v_domain;
        v_outcome := 'domained';
    ELSIF v_name = 'arvo.publish' THEN
        RETURN NULL;
    END IF;

    SELECT queue.queue, queue.deduplicate_for, queue.key_from, lane.lane
    INTO v_queue, v_window, v_key_from, v_lane
    FROM arvo.queue
    INNER JOIN arvo.lane ON lane.queue = queue.queue AND lane.priority = queue.priority
    WHERE queue.name = v_name
    AND queue.registered
    AND NOT queue.slotted
    AND queue.singleton_for IS NULL
    AND queue.start_after <= interval '0'
    AND NOT lane.retired;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;

    IF v_window > interval '0' AND NOT p_emitted THEN
        -- First its own number, then which partition: see arvo.event_key_generation.
        v_own := pg_current_xact_id();
        SELECT current.last_value INTO v_number
        FROM arvo.event_key_number AS current
        INNER JOIN arvo.event_key_generation AS generation
            ON generation.number = current.last_value
        WHERE v_own IS NOT NULL
        AND pg_snapshot_xmin(pg_current_snapshot()) >= generation.horizon;
        v_delivery := nextval('arvo.delivery_number'::regclass);
        IF v_number IS NULL OR NOT arvo.note_key(
            v_number, v_queue, arvo.event_digest(p_event), v_window, v_delivery, v_now
        ) THEN
            RETURN NULL;
        END IF;
    ELSE
        v_delivery := nextval('arvo.delivery_number'::regclass);
    END IF;

    INSERT INTO arvo.log (slot, lane, delivery, attempt, at, subject_key, event_key, event, key)
    VALUES (
        arvo.slot(),
        v_lane,
        v_delivery,
        1,
        v_now,
        hashtextextended(p_event ->> 'subject', 0),
        hashtextextended(v_id, 0),
        CASE
            WHEN p_event ? 'time' THEN p_event
            ELSE p_event || jsonb_build_object('time', to_char(
                v_now AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"+00:00"'
            ))
        END,
        CASE WHEN v_key_from IS NOT NULL THEN arvo.key_in(p_event, v_key_from) END
    );
    PERFORM arvo.wake(ARRAY[v_name]);
    RETURN (1, v_id, v_delivery, v_name, v_outcome)::arvo_v1.dispatched;
END;
$append_one$;

COMMENT ON FUNCTION arvo.append_one(jsonb, boolean, boolean) IS
'Appends one plain event; answers no delivery when it takes more than that.';

REVOKE ALL ON FUNCTION arvo.append_one(jsonb, boolean, boolean) FROM PUBLIC;
--! end

--! function arvo.admit
-- arvo.admit(queue, batch) — which deliveries just read from the log may run, and which must wait.
CREATE OR REPLACE FUNCTION arvo.admit(p_queue arvo.queue, p_batch arvo.log[])
RETURNS arvo.taking
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $admit$
-- A delivery passes when its key has room and nobody stands in line before it; the holder of a key
-- passes always, and alone. The others are parked behind those who wait already. What its rate limit
-- stops is put off, except that an ordered key with a run under way must know first how that ends;
-- what has been withdrawn passes, uncounted, for it will be closed under the lease.
--
--   Reads    arvo.turn by (queue, key, number), arvo.tombstone, arvo.clock
--   Writes   arvo.parked; as arvo.put_turns and arvo.put_off
--   Locks    nothing; the caller holds the queue's home lane
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
    v_taking arvo.taking := arvo.no_taking(NULL);
    v_line record;
    v_turn arvo.turn;
    v_turns arvo.turn[] := '{}'::arvo.turn[];
    v_keys bigint[] := array_fill(NULL::bigint, ARRAY[cardinality(p_batch)]);
    v_places bigint[] := v_keys;
    v_at integer;
    v_holder bigint;
    v_room integer;
    v_rate integer;
    v_parked integer := 0;
BEGIN
    FOR v_line IN
        SELECT grouped.key, grouped.ordinals, grouped.deliveries, newest.turn
        FROM (
            SELECT
                keyed.key,
                array_agg(keyed.ordinal ORDER BY keyed.ordinal) AS ordinals,
                array_agg(keyed.delivery ORDER BY keyed.ordinal) AS deliveries
            FROM (
                SELECT
                    coalesce(
                        read.key,
                        CASE
                            WHEN p_queue.policy <> 'ordered' OR read.subject_key = 0 THEN 1
                            ELSE read.subject_key
                        END
                    ) AS key,
                    read.delivery,
                    row_number() OVER ()::integer AS ordinal
                FROM unnest(p_batch) AS read
            ) AS keyed
            GROUP BY keyed.key
        ) AS grouped
        LEFT JOIN LATERAL (
            SELECT state AS turn
            FROM arvo.turn AS state
            WHERE state.queue = p_queue.queue AND state.key = grouped.key
            ORDER BY state.number DESC
            LIMIT 1
        ) AS newest ON true
        ORDER BY grouped.ordinals[1]
    LOOP
        v_turn := v_line.turn;
        IF v_turn.key IS NULL THEN
            v_turn.queue := p_queue.queue;
            v_turn.key := v_line.key;
            v_turn.active := 0;
            v_turn.waiting := 0;
            v_turn.upto := 0;
            v_turn.ready := false;
            v_turn.tally := '{}';
        END IF;
        v_holder := v_turn.holder;
        v_room := CASE
            WHEN v_turn.waiting = 0 THEN arvo.key_room(p_queue, v_turn) ELSE 0
        END;
        v_rate := 2147483647;
        IF p_queue.key_rate_limit IS NOT NULL THEN
            v_rate := arvo.rate_room(
                v_turn.tally, p_queue.key_rate_limit, p_queue.key_rate_period, v_now
            );
        END IF;
        FOR v_in_line IN 1..cardinality(v_line.ordinals) LOOP
            v_at := v_line.ordinals[v_in_line];
            IF v_line.deliveries[v_in_line] IS DISTINCT FROM v_holder
                AND (
                    v_holder IS NOT NULL OR v_room = 0 OR v_turn.waiting > 0
                    OR (v_rate = 0 AND p_queue.policy = 'ordered' AND v_turn.active > 0)
                )
            THEN
                v_turn.waiting := v_turn.waiting + 1;
                v_parked := v_parked + 1;
                v_keys[v_at] := v_line.key;
                CONTINUE;
            END IF;

            -- The holder keeps its place before all who wait; it comes before what was taken last.
            v_places[v_at] := v_turn.upto;
            IF v_line.deliveries[v_in_line] IS DISTINCT FROM v_holder THEN
                v_places[v_at] := nextval('arvo.turn_number'::regclass);
                v_turn.upto := v_places[v_at];
            END IF;
            v_keys[v_at] := v_line.key;
            v_turn.holder := NULL;
            IF v_rate = 0 AND NOT EXISTS (
                SELECT
                FROM arvo.tombstone
                WHERE tombstone.lane = p_batch[v_at].lane
                AND tombstone.delivery = p_batch[v_at].delivery
            ) THEN
                v_turn.holder := arvo.put_off(p_queue, v_turn, p_batch[v_at]);
                v_holder := v_turn.holder;
                v_taking.put_off := v_taking.put_off || v_line.deliveries[v_in_line];
            ELSE
                v_room := v_room - 1;
                v_turn.active := v_turn.active + 1;
                v_taking.taken := v_taking.taken + 1;
                IF p_queue.key_rate_limit IS NOT NULL THEN
                    v_turn.tally := arvo.rate_count(
                        v_turn.tally, least(v_rate, 1), p_queue.key_rate_period, v_now
                    );
                    v_rate := greatest(v_rate - 1, 0);
                END IF;
            END IF;
        END LOOP;
        v_turns := v_turns || v_turn;
    END LOOP;

    IF v_parked = 0 THEN
        v_taking.batch := p_batch;
        v_taking.keys := v_keys;
        v_taking.places := v_places;
    ELSE
        INSERT INTO arvo.parked (queue, key, place, delivery, lane, xid, at)
        SELECT
            p_queue.queue, v_keys[entry.ordinal], nextval('arvo.turn_number'::regclass),
            entry.delivery, entry.lane, entry.xid, entry.at
        FROM (
            SELECT read.delivery, read.lane, read.xid, read.at, row_number() OVER () AS ordinal
            FROM unnest(p_batch) AS read
        ) AS entry
        WHERE v_places[entry.ordinal] IS NULL
        ORDER BY entry.ordinal;
        SELECT
            coalesce(array_agg(passed.entry ORDER BY passed.ordinal), '{}'),
            coalesce(array_agg(v_keys[passed.ordinal] ORDER BY passed.ordinal), '{}'),
            coalesce(array_agg(v_places[passed.ordinal] ORDER BY passed.ordinal), '{}')
        INTO v_taking.batch, v_taking.keys, v_taking.places
        FROM (
            SELECT read AS entry, row_number() OVER () AS ordinal
            FROM unnest(p_batch) AS read
        ) AS passed
        WHERE v_places[passed.ordinal] IS NOT NULL;
    END IF;
    -- After the parked rows have their places: whoever is ready now finds them.
    PERFORM arvo.put_turns(p_queue, v_turns);
    RETURN v_taking;
END;
$admit$;

COMMENT ON FUNCTION arvo.admit(arvo.queue, arvo.log[]) IS
'Lets deliveries pass whose keys have room, and parks the others.';

REVOKE ALL ON FUNCTION arvo.admit(arvo.queue, arvo.log[]) FROM PUBLIC;
--! end

DROP TYPE arvo_v1.locked_state;
COMMENT ON SEQUENCE arvo.lock_token IS 'Fencing tokens of subject locks; they only grow.';
ALTER SEQUENCE arvo.lock_token MAXVALUE 72057594037927935;
-- Tokens only grow: those from now on lack the random bits.
SELECT setval('arvo.lock_token'::regclass, (given.last_value << 12) | 4095)
FROM arvo.lock_token AS given
WHERE given.is_called;

DROP INDEX arvo.lease_stray_idx;
ALTER TABLE arvo.lease DROP COLUMN strays;
CREATE INDEX lease_delivery_idx ON arvo.lease
USING gin (deliveries) WITH (fastupdate = off) WHERE keys IS NOT NULL;
COMMENT ON TABLE arvo.turn IS
'State of each key of a gated queue: its newest row counts; key 0 is the queue itself. Appended under the lock of the queue''s home lane; the row before is deleted with it, idle ones by maintain().';
ALTER TABLE arvo.turn RESET (fillfactor);

DROP TYPE arvo_v1.copied;

DROP TABLE arvo.server_start;

DROP TYPE arvo.leased;
DROP TYPE arvo.ahead;
DROP TYPE arvo.claimable;
DROP TYPE arvo.parted;
DROP TYPE arvo.completion;
ALTER TYPE arvo.result DROP ATTRIBUTE named_in;
COMMENT ON COLUMN arvo.result.ordinal IS 'Place in the array of results, from 1.';

DELETE FROM arvo.revision WHERE number = 4;
