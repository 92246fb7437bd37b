-- undo lean-log

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
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $work$
-- Answers, in this order: verdicts of kind "settled" (only those that are not plainly completed),
-- deliveries of kind "claimed", and one row of kind "idle" when nothing was claimed, which says when
-- something deferred becomes due, or a lease of another worker may have lapsed: at once, if this very
-- call appended something to these queues, and soon, if another session was claiming where there is
-- something to claim.
-- Nothing is claimed when p_queues is NULL or p_limit is 0.
--
--   Reads    as arvo_v1.settle and arvo_v1.claim; as arvo.has_own, arvo.next_due,
--            arvo.next_room and arvo.next_lapse
--   Writes   as arvo_v1.settle and arvo_v1.claim
--   Locks    as arvo_v1.settle, then as arvo_v1.claim (which waits for none)
--   Raises   as arvo_v1.settle and arvo_v1.claim
--            55P03  somebody has held a lock for two seconds: settle the results one by one
DECLARE
    v_claiming boolean := p_queues IS NOT NULL AND p_limit IS DISTINCT FROM 0;
    v_parted arvo.parted;
    v_asked arvo.claimable;
    v_ahead arvo.ahead;
    v_all arvo.leased[];
    v_busy boolean;
    v_leased arvo.leased;
BEGIN
    IF v_claiming OR p_results IS DISTINCT FROM '[]' THEN
        PERFORM arvo.require_read_committed('work');
        PERFORM arvo.require_home();
    END IF;
    IF p_results IS DISTINCT FROM '[]' THEN
        IF (arvo.close_one(p_results)).lease IS NULL THEN
            v_parted := arvo.close_plain(p_results);
        END IF;
        IF v_parted.rest <> '[]' THEN
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
            FROM arvo_v1.settle(v_parted.rest) WITH ORDINALITY AS verdict
            WHERE verdict.outcome <> 'completed'
            ORDER BY verdict.ordinality;
        END IF;
    END IF;
    IF NOT v_claiming THEN
        RETURN;
    END IF;

    v_asked := arvo.lanes_to_claim(p_queues, p_limit, p_limits, p_lease);
    v_ahead := arvo.look_ahead();
    IF v_ahead.due THEN
        PERFORM arvo.promote();
    END IF;
    v_all := arvo.claim_lanes(v_asked, p_limit, p_worker, p_limits, p_lease);
    v_busy := v_all IS NULL;
    IF v_busy THEN
        v_all := '{}';
    END IF;
    FOREACH v_leased IN ARRAY v_all LOOP
        IF v_leased.rows IS NULL THEN
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
            FROM arvo.hand_out(v_leased.queue, v_leased.lease, v_leased.batch) AS claimed;
        ELSE
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
            FROM unnest(v_leased.rows) AS claimed;
        END IF;
    END LOOP;
    IF cardinality(v_all) = 0 THEN
        RETURN NEXT (
            'idle', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
            CASE
                WHEN pg_current_xact_id_if_assigned() IS NOT NULL AND arvo.has_own(p_queues)
                    THEN interval '0'
                ELSE least(
                    CASE WHEN v_busy THEN interval '10 milliseconds' END,
                    CASE
                        WHEN v_ahead.due THEN arvo.next_due()
                        WHEN v_ahead.next_at IS NOT NULL
                            THEN greatest(v_ahead.next_at - arvo.clock(), interval '0')
                    END,
                    CASE WHEN v_asked.limited THEN arvo.next_room(p_queues) END,
                    arvo.next_lapse(v_asked.lanes)
                )
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
-- event p_event_id belongs to, and every event of it that a policy did not let in; in order of
-- acceptance. Payloads are not shown; of errors, which may tell of them, those who only monitor see
-- the name, unless read was granted. By index only: cost grows with the story, not with history.
--
--   Reads    arvo.log, arvo.deferred, arvo.dead and arvo.omission by subject, arvo.closure,
--            arvo.parked, arvo.tombstone, arvo.lane, arvo.queue, arvo.lineage; as arvo.lease_of
--   Writes   nothing
--   Locks    nothing
--   Raises   RV006  not exactly one of subject and event_id is given
DECLARE
    v_subjects text[];
    v_parents text[];
    v_depths integer[];
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
    SELECT
        array_agg(kin.subject),
        array_agg(kin.parent_subject),
        array_agg(kin.depth)
    INTO v_subjects, v_parents, v_depths
    FROM (
        SELECT DISTINCT ON (relative.subject)
            relative.subject, relative.parent_subject, relative.depth
        FROM unnest(v_subjects) AS asked (subject)
        CROSS JOIN LATERAL (
            SELECT placed.subject, placed.parent_subject, placed.depth
            FROM arvo_v1.lineage(asked.subject) AS placed
            UNION ALL
            SELECT asked.subject, NULL, 0
        ) AS relative
        ORDER BY relative.subject, relative.depth DESC
    ) AS kin;

    RETURN QUERY
    WITH entry AS MATERIALIZED (
        SELECT
            known.subject,
            known.parent_subject,
            known.depth,
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
        FROM unnest(v_subjects, v_parents, v_depths) AS known (subject, parent_subject, depth)
        CROSS JOIN LATERAL (
            SELECT found.*
            FROM arvo.log AS found
            WHERE found.subject_key = hashtextextended(known.subject, 0)
            OFFSET 0  -- only by index: no join may read the log another way
        ) AS log
        UNION ALL
        SELECT
            known.subject,
            known.parent_subject,
            known.depth,
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
        FROM unnest(v_subjects, v_parents, v_depths) AS known (subject, parent_subject, depth)
        CROSS JOIN LATERAL (
            SELECT found.*
            FROM arvo.deferred AS found
            WHERE found.subject_key = hashtextextended(known.subject, 0)
            OFFSET 0
        ) AS deferred
    ),

    -- a promoted row stands in both rooms until it is swept away, a rebased one in two lanes
    step AS MATERIALIZED (
        SELECT DISTINCT ON (entry.delivery) entry.*
        FROM entry
        ORDER BY entry.delivery, entry.due NULLS FIRST, entry.lane DESC
    ),

    -- what a later delivery says of the one before
    told AS MATERIALIZED (
        SELECT DISTINCT ON (step.cause ->> 'delivery')
            (step.cause ->> 'delivery')::bigint AS delivery,
            nullif(step.cause -> 'error', 'null') AS error
        FROM step
        WHERE step.cause ->> 'outcome' NOT IN ('redriven', 'replayed', 'unroutable')
        ORDER BY step.cause ->> 'delivery', step.delivery
    )

    SELECT
        told_step.subject, told_step.event_id, told_step.parent_id, told_step.event_type,
        told_step.source, told_step.queue, told_step.delivery, told_step.attempt,
        told_step.outcome, told_step.accepted_at, told_step.claimed_at, told_step.settled_at,
        told_step.run_time, told_step.worker,
        CASE
            WHEN told_step.error IS NULL OR seen.whole THEN told_step.error
            ELSE jsonb_build_object('name', told_step.error ->> 'name')
        END,
        told_step.parent_subject, told_step.depth, told_step.due, told_step.waited,
        CASE WHEN seen.whole THEN told_step.cause ELSE told_step.cause - 'error' END
    FROM (
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
                WHEN withdrawn.delivery IS NOT NULL THEN withdrawn.reason
                WHEN parked.delivery IS NOT NULL THEN 'waiting'
                WHEN NOT queue.registered AND entry.cause ->> 'outcome' IS DISTINCT FROM 'dead' THEN
                    CASE
                        WHEN starts_with(queue.name, 'arvo.domain.') THEN 'domained'
                        ELSE 'unroutable'
                    END
                WHEN queue.paused_at IS NOT NULL THEN 'paused'
                WHEN NOT pg_visible_in_snapshot(entry.xid, queue.drained_to) THEN 'draining'
                ELSE 'queued'
            END,
            entry.at AS accepted_at,
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
            ),
            entry.parent_subject,
            entry.depth,
            entry.due,
            held.leased_at - entry.at,
            entry.cause
        FROM step AS entry
        LEFT JOIN told ON told.delivery = entry.delivery
        INNER JOIN arvo.lane ON lane.lane = entry.lane
        INNER JOIN arvo.queue ON queue.queue = lane.queue
        LEFT JOIN LATERAL (
            SELECT claimed.*
            FROM arvo.lease_of(entry.lane, entry.xid, entry.delivery) AS claimed
            WHERE entry.due IS NULL
            OFFSET 0  -- not even asked for what is deferred: the ledger would be read to its end
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
        WHERE entry.event ->> 'subject' = entry.subject
        UNION ALL
        SELECT
            known.subject,
            omission.event_id,
            omission.event ->> 'parentid',
            omission.event ->> 'type',
            omission.event ->> 'source',
            omission.queue,
            NULL,
            0,
            omission.outcome,
            omission.at,
            NULL,
            NULL,
            NULL,
            NULL,
            NULL,
            known.parent_subject,
            known.depth,
            NULL,
            NULL,
            jsonb_build_object(
                'outcome', omission.outcome, 'first_delivery', omission.first_delivery
            )
        FROM unnest(v_subjects, v_parents, v_depths) AS known (subject, parent_subject, depth)
        CROSS JOIN LATERAL (
            SELECT found.*
            FROM arvo.omission AS found
            WHERE found.subject_key = hashtextextended(known.subject, 0)
            OFFSET 0
        ) AS omission
        WHERE omission.event ->> 'subject' = known.subject
    ) AS told_step (
        subject, event_id, parent_id, event_type, source, queue, delivery, attempt, outcome,
        accepted_at, claimed_at, settled_at, run_time, worker, error, parent_subject, depth, due,
        waited, cause
    )
    CROSS JOIN LATERAL (SELECT arvo.may_read(told_step.queue) AS whole OFFSET 0) AS seen
    ORDER BY told_step.accepted_at, told_step.delivery;
END;
$trace$;

COMMENT ON FUNCTION arvo_v1.trace(text, text) IS
'Every delivery of every event of a workflow''s tree: queue, attempt, outcome, times, error.';

REVOKE ALL ON FUNCTION arvo_v1.trace(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.trace(text, text) TO arvo_monitor, arvo_operator, arvo_worker;
--! end

--! function arvo_v1.rebase
-- arvo_v1.rebase(dry_run) — take over a restored dump: make its transaction numbers meaningful here.
CREATE OR REPLACE FUNCTION arvo_v1.rebase(p_dry_run boolean DEFAULT false)
RETURNS arvo_v1.rebased
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
SET work_mem = '64MB'
AS $rebase$
-- To be called once, after a dump was restored; until then dispatches and claims are refused, so
-- nobody is in its way. Answers one row. outcome home: nothing was to be done. accepted: this cluster
-- is past all stored numbers, so they can stay as they are; leases lapse by themselves. rebased: every
-- lane has a new one in its place, and what was live stands in it, in order and under the same
-- delivery numbers; what was leased counts as expired. The old rows stay as history. Fencing tokens go on from far above those that
-- the original may have given since. A dry run answers what would be done and changes nothing.
--
--   Reads    as arvo.whereabouts
--   Writes   arvo.origin, arvo.operation, arvo.tombstone, arvo.queue, arvo.event_key_generation; as
--            arvo.retire_lanes, arvo.rebase_leased, arvo.rebase_parked, arvo.rebase_queued,
--            arvo.rebase_deferred, arvo.close_lanes
--   Locks    arvo.origin, against other moves; arvo.lane, against queues being made
--   Raises   RV005  the transaction is not READ COMMITTED
--            RV901  as arvo.rebase_leased
DECLARE
    v_whereabouts text;
    v_done arvo_v1.rebased := ('home', 0::bigint, 0::bigint, 0::bigint, 0::bigint);
    v_own bigint;
    v_drained bigint[];
    v_queued bigint[];
BEGIN
    PERFORM arvo.require_read_committed('rebase');
    LOCK TABLE arvo.origin, arvo.lane IN SHARE ROW EXCLUSIVE MODE;
    v_whereabouts := arvo.whereabouts();
    IF v_whereabouts = 'home' THEN
        RETURN v_done;
    END IF;
    v_done.outcome := CASE WHEN v_whereabouts = 'foreign' THEN 'rebased' ELSE 'accepted' END;

    BEGIN
        IF v_done.outcome = 'rebased' THEN
            v_own := nextval('arvo.delivery_number'::regclass);
            v_done.parked := (SELECT count(*) FROM arvo.parked);
            v_done.leased := arvo.rebase_leased();
            PERFORM arvo.retire_lanes();
            PERFORM arvo.rebase_parked();
            v_drained := arvo.rebase_queued(v_own, true, 3);
            v_queued := arvo.rebase_queued(v_own, false, v_drained[2]);
            v_done.queued := v_drained[1] + v_queued[1];
            v_done.deferred := arvo.rebase_deferred(v_own);

            UPDATE arvo.tombstone
            SET lane = lane.successor
            FROM arvo.lane
            WHERE lane.lane = tombstone.lane AND lane.retired;
            UPDATE arvo.queue
            SET drained_to = format('%1$s:%1$s:', v_drained[2])::pg_snapshot
            WHERE queue.drained_to IS NOT NULL;
            UPDATE arvo.event_key_generation SET horizon = '0';
            DELETE FROM arvo.tally;
            PERFORM arvo.close_lanes();
            PERFORM arvo.pass_numbers(v_queued[2]);
        END IF;
        IF p_dry_run THEN
            RAISE EXCEPTION 'only looked' USING ERRCODE = 'RV901';
        END IF;
    EXCEPTION
        WHEN SQLSTATE 'RV901' THEN
            IF SQLERRM <> 'only looked' THEN
                RAISE;
            END IF;
            RETURN v_done;
    END;

    PERFORM setval('arvo.lease_number'::regclass, nextval('arvo.lease_number'::regclass) + 1000000000);
    PERFORM setval('arvo.lock_token'::regclass, nextval('arvo.lock_token'::regclass) + 1000000000);
    INSERT INTO arvo.origin (system_identifier, relation)
    SELECT control.system_identifier, 'arvo.origin'::regclass::oid
    FROM pg_control_system() AS control;
    PERFORM arvo.note_operation(
        'rebase', NULL, to_jsonb(v_done),
        v_done.leased + v_done.parked + v_done.queued + v_done.deferred
    );
    PERFORM arvo.wake(array_agg(queue.name)) FROM arvo.queue;
    RETURN v_done;
END;
$rebase$;

COMMENT ON FUNCTION arvo_v1.rebase(boolean) IS
'After a dump was restored into another cluster: takes over what waits here, once; says what it did.';

REVOKE ALL ON FUNCTION arvo_v1.rebase(boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.rebase(boolean) TO arvo_operator;
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
--   workers   workers forgotten that are long gone      forgotten  states finished long ago
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
    PERFORM arvo.note_start();

    FOREACH v_task IN ARRAY '{promoted,tallied,healed,retired,expired,swept,unlocked,forgotten,keys,notes,workers,turned,finished,opened,emptied}'::text[]
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
                WHEN 'forgotten' THEN arvo.forget_states(1000, 200)
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

--! function arvo_v1.look
-- arvo_v1.look(queues, limit, worker, limits, lease) — claim, without waiting for the disk.
CREATE OR REPLACE FUNCTION arvo_v1.look(
    p_queues text[],
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
AS $look$
-- As work without results, in a transaction of its own, whose commit does not wait until it is on disk
-- (synchronous_commit = off, for this transaction). What a crash of the server may undo are claims,
-- promotions and fires of the last moments, together and in order: they are done again, and tokens
-- from before are refused. Nothing that came later and was waited for, such as a settlement, can
-- survive without them. In a transaction that has written before it is as work: what is there stays as
-- durable as its writer wants it. What is written afterwards does not: call claim there.
--
--   Reads    as arvo_v1.claim; arvo.deferred
--   Writes   as arvo_v1.claim
--   Locks    as arvo_v1.claim (which waits for none)
--   Raises   as arvo_v1.claim
BEGIN
    IF pg_current_xact_id_if_assigned() IS NULL THEN
        PERFORM set_config('synchronous_commit', 'off', true);
    END IF;
    RETURN QUERY
    SELECT found.*
    FROM arvo_v1.work('[]', p_queues, p_limit, p_worker, p_limits, p_lease) AS found;
END;
$look$;

COMMENT ON FUNCTION arvo_v1.look(text[], integer, text, integer[], interval) IS
'Claims the next deliveries as work does, in a transaction whose commit does not wait for the disk.';

REVOKE ALL ON FUNCTION arvo_v1.look(text[], integer, text, integer[], interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.look(text[], integer, text, integer[], interval) TO arvo_worker;
--! end

--! function arvo_v1.lock_state
-- arvo_v1.lock_state(subject, ttl, durable) — take the lock on a subject, and read its state.
CREATE OR REPLACE FUNCTION arvo_v1.lock_state(
    p_subject text,
    p_ttl interval DEFAULT interval '2 minutes',
    p_durable boolean DEFAULT true
)
RETURNS SETOF arvo_v1.locked_state
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $lock_state$
-- As arvo_v1.acquire_lock, in one round trip with the read that follows: the state is as it is when
-- the lock has been taken; version 0 when there is none.
--
--   Reads    arvo.state; as arvo_v1.acquire_lock
--   Writes   as arvo_v1.acquire_lock
--   Locks    as arvo_v1.acquire_lock
--   Raises   as arvo_v1.acquire_lock
DECLARE
    v_lock arvo_v1.lock;
    v_version bigint;
    v_data jsonb;
BEGIN
    SELECT taken.* INTO v_lock
    FROM arvo_v1.acquire_lock(p_subject, p_ttl, p_durable) AS taken;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    -- A statement of its own: it sees what the last holder committed.
    SELECT state.version, state.data INTO v_version, v_data
    FROM arvo.state
    WHERE state.subject_digest = arvo.subject_digest(p_subject);
    RETURN NEXT (
        v_lock.subject, v_lock.token, v_lock.expires_at, coalesce(v_version, 0), v_data
    )::arvo_v1.locked_state;
END;
$lock_state$;

COMMENT ON FUNCTION arvo_v1.lock_state(text, interval, boolean) IS
'Takes the time-limited lock on a subject and reads its state; no row when the lock is held.';

REVOKE ALL ON FUNCTION arvo_v1.lock_state(text, interval, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.lock_state(text, interval, boolean) TO arvo_worker;
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
--   Reads    as arvo.append_plain and arvo.append
--   Writes   as arvo.append_plain or arvo.append
--   Locks    as arvo.append_plain or arvo.append
--   Raises   RV001  an event is not valid
--            RV002  an option is not valid, or a queue has too many priorities
--            RV006  p_events is not an array
--            RV007  a queue is closed to the caller
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
    IF p_events = '[]' THEN
        RETURN;
    END IF;
    v_events := ARRAY(SELECT jsonb_array_elements(p_events));

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
    PERFORM arvo.require_dispatch(v_events, p_ignore_domain);
    IF p_options IS NULL AND p_start_after IS NULL AND p_priority IS NULL THEN
        RETURN QUERY
        SELECT accepted.* FROM arvo.append_plain(v_events, p_ignore_domain) AS accepted;
        IF FOUND THEN
            RETURN;
        END IF;
    END IF;
    RETURN QUERY
    SELECT accepted.*
    FROM arvo.append(
        v_events, arvo.options_with(p_options, p_start_after, p_priority), p_ignore_domain,
        p_asking => true
    ) AS accepted;
END;
$dispatch_many$;

COMMENT ON FUNCTION arvo_v1.dispatch_many(jsonb, interval, integer, boolean, jsonb) IS
'Accepts an array of events in order, all or none, and says where each went.';

REVOKE ALL ON FUNCTION arvo_v1.dispatch_many(jsonb, interval, integer, boolean, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.dispatch_many(jsonb, interval, integer, boolean, jsonb)
TO arvo_client, arvo_worker, arvo_operator;
--! end

--! function arvo_v1.dispatch_copy
-- arvo_v1.dispatch_copy(events, ignore_domain, options) — accept one batch of a stream of events, in order.
CREATE OR REPLACE FUNCTION arvo_v1.dispatch_copy(
    p_events jsonb,
    p_ignore_domain boolean DEFAULT false,
    p_options jsonb DEFAULT NULL
)
RETURNS SETOF arvo_v1.copied
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $dispatch_copy$
-- As dispatch_many, and answered in short: one row for each outcome that there was, with the number
-- of events that had it. Which ones is told of those that were not taken as they came.
--
--   Reads    as arvo_v1.dispatch_many
--   Writes   as arvo_v1.dispatch_many
--   Locks    as arvo_v1.dispatch_many
--   Raises   as arvo_v1.dispatch_many
BEGIN
    RETURN QUERY
    SELECT
        accepted.outcome,
        count(*),
        coalesce(
            array_agg(accepted.ordinal::bigint ORDER BY accepted.ordinal) FILTER (
                WHERE accepted.outcome NOT IN ('queued', 'deferred', 'domained')
            ),
            '{}'
        )
    FROM arvo_v1.dispatch_many(
        p_events, p_ignore_domain => p_ignore_domain, p_options => p_options
    ) AS accepted
    GROUP BY accepted.outcome
    ORDER BY accepted.outcome;
END;
$dispatch_copy$;

COMMENT ON FUNCTION arvo_v1.dispatch_copy(jsonb, boolean, jsonb) IS
'Accepts an array of events in order, all or none, and says how many had which outcome.';

REVOKE ALL ON FUNCTION arvo_v1.dispatch_copy(jsonb, boolean, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.dispatch_copy(jsonb, boolean, jsonb)
TO arvo_client, arvo_worker, arvo_operator;
--! end

--! function arvo_v1.acquire_lock
-- arvo_v1.acquire_lock(subject, ttl, durable) — take the lock on a subject, if it is free.
CREATE OR REPLACE FUNCTION arvo_v1.acquire_lock(
    p_subject text,
    p_ttl interval DEFAULT interval '2 minutes',
    p_durable boolean DEFAULT true
)
RETURNS SETOF arvo_v1.lock
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $acquire_lock$
-- Answers one row with a fencing token, or none when somebody holds the lock. Never waits: an
-- upsert alone would wait for a competitor's open transaction, so a transaction lock is tried first;
-- and for whoever has the row in hand (a write under the lock, a renewal, a clean-up), so a row that
-- has lapsed is locked first, or left alone.
--
-- Without p_durable the commit does not wait for the disk: for a call that is a transaction of its own.
-- What a crash of the server undoes then was taken in its last half second; the holder's next
-- write is refused, also if its number is given again: the low bits of a token are random.
--
--   Reads    arvo.clock
--   Writes   arvo.state_lock; the setting synchronous_commit of this transaction
--   Locks    the subject's transaction lock and arvo.state_lock row: tried, never waited for
--   Raises   RV006  an argument is not valid
DECLARE
    v_now timestamptz := arvo.clock();
    v_digest bytea;
    v_token bigint;
    v_expires_at timestamptz;
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
    -- Whatever was written before in this transaction stays as durable as its writer wants it.
    IF NOT p_durable AND pg_current_xact_id_if_assigned() IS NULL THEN
        PERFORM set_config('synchronous_commit', 'off', true);
    END IF;

    v_digest := arvo.subject_digest(p_subject);
    SELECT held.expires_at INTO v_expires_at
    FROM arvo.state_lock AS held
    WHERE held.subject_digest = v_digest;
    IF v_expires_at > v_now THEN
        RETURN;
    END IF;
    v_token := (nextval('arvo.lock_token'::regclass) << 12) | floor(random() * 4096)::bigint;
    IF v_expires_at IS NULL THEN
        INSERT INTO arvo.state_lock (subject_digest, subject, token, locked_at, expires_at)
        VALUES (v_digest, p_subject, v_token, v_now, v_now + p_ttl)
        ON CONFLICT (subject_digest) DO NOTHING;
    ELSE
        UPDATE arvo.state_lock
        SET token = v_token, locked_at = v_now, expires_at = v_now + p_ttl
        FROM (
            SELECT lapsed.subject_digest
            FROM arvo.state_lock AS lapsed
            WHERE lapsed.subject_digest = v_digest AND lapsed.expires_at <= v_now
            FOR UPDATE SKIP LOCKED
        ) AS free
        WHERE state_lock.subject_digest = free.subject_digest;
    END IF;
    IF FOUND THEN
        RETURN NEXT (p_subject, v_token, v_now + p_ttl)::arvo_v1.lock;
    END IF;
END;
$acquire_lock$;

COMMENT ON FUNCTION arvo_v1.acquire_lock(text, interval, boolean) IS
'Takes the time-limited lock on a subject and returns its fencing token; no row when it is held.';

REVOKE ALL ON FUNCTION arvo_v1.acquire_lock(text, interval, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.acquire_lock(text, interval, boolean) TO arvo_worker;
--! end

--! function arvo.vitals_of_history
-- arvo.vitals_of_history() — what keeps old history from being emptied.
CREATE OR REPLACE FUNCTION arvo.vitals_of_history()
RETURNS SETOF arvo_v1.vital
LANGUAGE sql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $vitals_of_history$
-- Which slot is in use and since when; then what keeps older ones from being emptied. That is a notice:
-- nothing is lost by it, but the space is not given back.
--
--   Reads    arvo.generation, arvo.clock; as arvo.generation_pins
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
(SELECT
    'history', 'ok', newest.number::text,
    format('Slot %s is in use, for %s.', newest.slot, arvo.clock() - newest.opened_at), NULL
FROM arvo.generation AS newest
ORDER BY newest.number DESC
LIMIT 1)
UNION ALL
SELECT
    'history',
    'notice',
    pin.generation::text,
    format(
        'Generation %s is not emptied: %s, queue %s, delivery %s, since %s.', pin.generation,
        pin.kind, coalesce(left(to_json(pin.queue)::text, 80), '-'), pin.delivery, pin.at
    ),
    'Let its queue be worked off, or purge it; what waits longer than its retention becomes a dead letter.'
FROM arvo.generation_pins(5) AS pin;
$vitals_of_history$;

COMMENT ON FUNCTION arvo.vitals_of_history() IS
'What keeps old generations of log, lease and closure from being emptied.';

REVOKE ALL ON FUNCTION arvo.vitals_of_history() FROM PUBLIC;
--! end

--! function arvo.turn_event_keys
-- arvo.turn_event_keys() — begin a new generation of event_key when the newest is a whole window old.
CREATE OR REPLACE FUNCTION arvo.turn_event_keys()
RETURNS integer
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $turn_event_keys$
-- Three partitions: one in use, one that is looked at, one that is emptied and used next. So a key is
-- known for at least one window, the longest deduplicate_for (one hour at least), and at most for
-- three. What is emptied has not been looked at for a window, and nobody writes there: turning waits
-- until every transaction from before the last turn has ended. Emptying and turning are two calls,
-- two transactions, since a sequence does not go back when its transaction does. One that was undone
-- after the turn is made good by the next: without its row dispatches write into both. Returns how
-- many steps were taken.
--
--   Reads    arvo.queue, arvo.event_key_generation, arvo.event_key, arvo.clock
--   Writes   arvo.event_key_number; as arvo.open_event_keys and arvo.empty_event_keys
--   Locks    as arvo.empty_event_keys
--   Raises   nothing
DECLARE
    v_number bigint;
    v_newest arvo.event_key_generation;
    v_next integer;
BEGIN
    SELECT current.last_value INTO v_number FROM arvo.event_key_number AS current;
    SELECT newest.* INTO STRICT v_newest
    FROM arvo.event_key_generation AS newest
    ORDER BY newest.number DESC
    LIMIT 1;
    IF v_newest.number < v_number THEN
        PERFORM arvo.open_event_keys(v_number);
        RETURN 1;
    END IF;
    IF v_newest.opened_at > arvo.clock() - greatest(
            interval '1 hour', (SELECT max(queue.deduplicate_for) FROM arvo.queue)
        )
        OR pg_snapshot_xmin(pg_current_snapshot()) < v_newest.horizon
    THEN
        RETURN 0;
    END IF;
    v_next := ((v_number + 1) % 3)::integer;
    IF EXISTS (SELECT FROM arvo.event_key WHERE event_key.slot = v_next) THEN
        RETURN arvo.empty_event_keys(v_next)::integer;
    END IF;
    -- Nothing was dispatched with a key since: no need to turn.
    IF NOT EXISTS (SELECT FROM arvo.event_key WHERE event_key.slot = v_number % 3) THEN
        RETURN 0;
    END IF;
    PERFORM arvo.open_event_keys(nextval('arvo.event_key_number'::regclass));
    RETURN 1;
END;
$turn_event_keys$;

COMMENT ON FUNCTION arvo.turn_event_keys() IS
'Turns the partitions of event_key when the newest is a whole window old; returns how many steps were taken.';

REVOKE ALL ON FUNCTION arvo.turn_event_keys() FROM PUBLIC;
--! end

DROP FUNCTION arvo.take_lock(text, interval, boolean, timestamptz);
--! function arvo.take_lock
--! end

DROP FUNCTION arvo.take(text[], integer, text, integer[], interval);
--! function arvo.take
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
--   server_start          of other starts than this
--
-- Returns how many rows.
--
--   Reads    arvo.clock, arvo.delete_after
--   Writes   arvo.omission, arvo.dead, arvo.operation, arvo.registration, arvo.generation,
--            arvo.event_key_generation, arvo.server_start
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
    v_swept := v_swept + v_count;

    DELETE FROM arvo.server_start WHERE server_start.started_at <> pg_postmaster_start_time();
    GET DIAGNOSTICS v_count = ROW_COUNT;
    RETURN v_swept + v_count;
END;
$sweep_notes$;

COMMENT ON FUNCTION arvo.sweep_notes(integer) IS
'Removes old omissions, resolved dead letters, audit and registrations; returns how many rows.';

REVOKE ALL ON FUNCTION arvo.sweep_notes(integer) FROM PUBLIC;
--! end

--! function arvo.subject_digest
-- arvo.subject_digest(subject) — the key under which a subject of any length is stored.
CREATE OR REPLACE FUNCTION arvo.subject_digest(p_subject text)
RETURNS bytea
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $subject_digest$
-- A B-tree holds keys up to about 2,700 bytes; subjects have no limit of their own.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT sha256(convert_to(p_subject, 'UTF8'));
$subject_digest$;

COMMENT ON FUNCTION arvo.subject_digest(text) IS
'SHA-256 of a subject''s UTF-8 text.';

REVOKE ALL ON FUNCTION arvo.subject_digest(text) FROM PUBLIC;
--! end

--! function arvo.open_generation
-- arvo.open_generation() — begin a new generation of history when the newest is old enough.
CREATE OR REPLACE FUNCTION arvo.open_generation()
RETURNS integer
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $open_generation$
-- Four slots: one in use, three that are kept; so one is in use for a third of delete_after, but for
-- five minutes at least. The next slot must have been emptied; while it is pinned the newest one
-- grows. One that nothing has been written to stays: an idle house does not turn. Returns 1 or 0.
--
--   Reads    arvo.generation, arvo.log, arvo.lease, arvo.closure, arvo.clock, arvo.delete_after
--   Writes   arvo.generation
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
    v_newest arvo.generation;
BEGIN
    SELECT newest.* INTO STRICT v_newest
    FROM arvo.generation AS newest
    ORDER BY newest.number DESC
    LIMIT 1;
    IF v_newest.opened_at > v_now - greatest(arvo.delete_after() / 3, interval '5 minutes')
        OR EXISTS (
            SELECT
            FROM arvo.generation AS old
            WHERE old.slot = (v_newest.slot + 1) % 4 AND old.emptied_at IS NULL
        )
        OR NOT (
            EXISTS (SELECT FROM arvo.log WHERE log.slot = v_newest.slot)
            OR EXISTS (SELECT FROM arvo.lease WHERE lease.slot = v_newest.slot AND lease.token > 0)
            OR EXISTS (SELECT FROM arvo.closure WHERE closure.slot = v_newest.slot)
        )
    THEN
        RETURN 0;
    END IF;
    INSERT INTO arvo.generation (slot, opened_at)
    VALUES ((v_newest.slot + 1) % 4, v_now);
    RETURN 1;
END;
$open_generation$;

COMMENT ON FUNCTION arvo.open_generation() IS
'Opens the next generation when the newest is old enough and the next slot is empty.';

REVOKE ALL ON FUNCTION arvo.open_generation() FROM PUBLIC;
--! end

--! function arvo.open_event_keys
-- arvo.open_event_keys(number) — say from which transaction on everybody knows a generation of event_key.
CREATE OR REPLACE FUNCTION arvo.open_event_keys(p_number bigint)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $open_event_keys$
-- Called after arvo.event_key_number has been set to p_number. Whoever may still write by the number
-- before has taken his transaction number before he read the sequence, so the horizon must be above
-- every transaction number handed out so far. pg_snapshot_xmax is not: it is one past the last that
-- has ended, and those that run may be above it. The number of a subtransaction that begins here is:
-- numbers are handed out in order. A row of it shows that number, in 32 bits; the upper ones are
-- those of this transaction, at most one wrap before.
--
--   Reads    arvo.clock
--   Writes   arvo.event_key_generation
--   Locks    nothing
--   Raises   23505  the generation is there already
DECLARE
    v_own bigint := pg_current_xact_id()::text::bigint;
    v_low bigint;
BEGIN
    -- A block with an exception clause is a subtransaction; its first write takes the number.
    BEGIN
        INSERT INTO arvo.event_key_generation AS opened (number, horizon, opened_at)
        VALUES (p_number, '18446744073709551615', arvo.clock())
        RETURNING opened.xmin::text::bigint INTO v_low;
    EXCEPTION WHEN lock_not_available THEN
        RAISE;
    END;
    UPDATE arvo.event_key_generation AS opened
    SET horizon = (v_own + (v_low - v_own % 4294967296 + 4294967296) % 4294967296)::text::xid8
    WHERE opened.number = p_number;
END;
$open_event_keys$;

COMMENT ON FUNCTION arvo.open_event_keys(bigint) IS
'Notes a new generation of event_key, with a horizon above every transaction number so far.';

REVOKE ALL ON FUNCTION arvo.open_event_keys(bigint) FROM PUBLIC;
--! end

--! function arvo.numbers_end
-- arvo.numbers_end() — the transaction number below which all stored ones lie.
CREATE OR REPLACE FUNCTION arvo.numbers_end()
RETURNS xid8
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $numbers_end$
-- Of those that a decision still depends on: the windows of lanes in use and what stands in their
-- logs, what is deferred and the promotion's cursor, drained queues, generations of event_key. By
-- index only.
--
--   Reads    arvo.lane, arvo.lease, arvo.log by (lane, xid), arvo.deferred, arvo.promotion,
--            arvo.queue, arvo.event_key_generation
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT coalesce(max(stored.number), 0)::text::xid8
FROM (
    SELECT greatest(
        pg_snapshot_xmax(head.snapshot)::text::bigint, last_entry.xid::text::bigint + 1
    ) AS number
    FROM arvo.lane
    CROSS JOIN LATERAL (
        SELECT newest.snapshot
        FROM arvo.lease AS newest
        WHERE newest.lane = lane.lane
        ORDER BY newest.number DESC
        LIMIT 1
    ) AS head
    LEFT JOIN LATERAL (
        SELECT entry.xid
        FROM arvo.log AS entry
        WHERE entry.lane = lane.lane
        ORDER BY entry.xid DESC
        LIMIT 1
    ) AS last_entry ON true
    WHERE NOT lane.retired
    UNION ALL
    SELECT postponed.xid::text::bigint + 1
    FROM (
        SELECT deferred.xid FROM arvo.deferred ORDER BY deferred.xid DESC LIMIT 1
    ) AS postponed
    UNION ALL
    SELECT pg_snapshot_xmax(passed.snapshot)::text::bigint
    FROM (
        SELECT head.snapshot FROM arvo.promotion AS head ORDER BY head.number DESC LIMIT 1
    ) AS passed
    UNION ALL
    SELECT pg_snapshot_xmax(queue.drained_to)::text::bigint
    FROM arvo.queue
    WHERE queue.drained_to IS NOT NULL
    UNION ALL
    SELECT event_key_generation.horizon::text::bigint FROM arvo.event_key_generation
) AS stored;
$numbers_end$;

COMMENT ON FUNCTION arvo.numbers_end() IS
'The transaction number below which all stored ones lie that a decision depends on.';

REVOKE ALL ON FUNCTION arvo.numbers_end() FROM PUBLIC;
--! end

DROP FUNCTION arvo.note_keys(integer[], text[], text[], bigint[]);
--! function arvo.note_keys
-- arvo.note_keys(queues, keys, deliveries) — remember deduplication keys, and say which were known.
CREATE OR REPLACE FUNCTION arvo.note_keys(
    p_queues integer[],
    p_keys bytea[],
    p_deliveries bigint[]
)
RETURNS bigint[]
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $note_keys$
-- One element for each key: NULL when it is new and has been noted, else the delivery that was first
-- within the window of its queue; also for the second of two in one call. NULL when all are new. A
-- dispatch of the same event that is still open is waited for: nobody can know yet whether it will be
-- there.
--
-- Keys are kept in three partitions, in use one after the other. A sequence names the one in use, so
-- that every snapshot sees the newest. While a transaction that may know only the one before can be
-- running, keys go into both; afterwards the one before is only looked at.
--
-- As a rule every key is new. Many of them are simply inserted, in a subtransaction that is undone when
-- one is known after all: ON CONFLICT looks each up first, and writes 48 bytes of log more for it.
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
    v_known bigint[];
    v_first bigint[];
BEGIN
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

    FOREACH v_slot IN ARRAY CASE
        WHEN v_number = 0 THEN '{0}'
        ELSE ARRAY[(v_number - 1) % 3, v_number % 3]::integer[]
    END LOOP
        v_written := 0;
        IF v_first IS NULL AND NOT v_turning AND v_slot = v_number % 3 AND cardinality(p_keys) >= 100
        THEN
            BEGIN
                INSERT INTO arvo.event_key (slot, queue, key, delivery, at)
                SELECT v_slot, item.queue, item.key, item.delivery, v_now
                FROM unnest(p_queues, p_keys, p_deliveries) AS item (queue, key, delivery)
                ORDER BY item.queue, item.key;
                RETURN NULL;
            EXCEPTION WHEN unique_violation THEN
                NULL;  -- known already, or twice in this call
            END;
        END IF;
        IF v_turning OR v_slot = v_number % 3 THEN
            INSERT INTO arvo.event_key AS known (slot, queue, key, delivery, at)
            SELECT DISTINCT ON (item.queue, item.key)
                v_slot, item.queue, item.key, item.delivery, v_now
            FROM unnest(p_queues, p_keys, p_deliveries, v_first) WITH ORDINALITY
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
        CONTINUE WHEN v_written = cardinality(p_keys);
        v_known := arvo.known_keys(v_slot, p_queues, p_keys);
        CONTINUE WHEN v_known IS NULL;
        SELECT array_agg(
            coalesce(item.first, nullif(item.known, item.delivery)) ORDER BY item.ordinal
        )
        INTO v_first
        FROM unnest(p_deliveries, v_first, v_known)
            WITH ORDINALITY AS item (delivery, first, known, ordinal);
    END LOOP;
    RETURN v_first;
END;
$note_keys$;

COMMENT ON FUNCTION arvo.note_keys(integer[], bytea[], bigint[]) IS
'Remembers deduplication keys; answers the first delivery of each that was known within its window.';

REVOKE ALL ON FUNCTION arvo.note_keys(integer[], bytea[], bigint[]) FROM PUBLIC;
--! end

--! function arvo.note_key
-- arvo.note_key(number, queue, key, window, delivery, now) — remember the deduplication key of one event.
CREATE OR REPLACE FUNCTION arvo.note_key(
    p_number bigint,
    p_queue integer,
    p_key bytea,
    p_window interval,
    p_delivery bigint,
    p_now timestamptz
)
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $note_key$
-- As arvo.mark_duplicates, for one event, outside of a turn of the partitions: p_number names the one
-- in use, the one before is looked at by its own name, so that the third can be emptied. False: the
-- key was there within the window, and nothing has been written.
--
--   Reads    arvo.event_key, the partition before, by (queue, key)
--   Writes   arvo.event_key, the partition in use
--   Locks    arvo.event_key row
--   Raises   40001  under REPEATABLE READ: somebody dispatched the same event meanwhile
BEGIN
    IF p_number % 3 = 0 THEN
        INSERT INTO arvo.event_key_0 AS known (slot, queue, key, delivery, at)
        SELECT 0, p_queue, p_key, p_delivery, p_now
        WHERE NOT EXISTS (
            SELECT
            FROM arvo.event_key_2 AS former
            WHERE former.slot = 2 AND former.queue = p_queue AND former.key = p_key
            AND former.at > p_now - p_window
        )
        ON CONFLICT (slot, queue, key) DO UPDATE
        SET delivery = excluded.delivery, at = excluded.at
        WHERE known.at <= p_now - p_window;
    ELSIF p_number % 3 = 1 THEN
        INSERT INTO arvo.event_key_1 AS known (slot, queue, key, delivery, at)
        SELECT 1, p_queue, p_key, p_delivery, p_now
        WHERE NOT EXISTS (
            SELECT
            FROM arvo.event_key_0 AS former
            WHERE former.slot = 0 AND former.queue = p_queue AND former.key = p_key
            AND former.at > p_now - p_window
        )
        ON CONFLICT (slot, queue, key) DO UPDATE
        SET delivery = excluded.delivery, at = excluded.at
        WHERE known.at <= p_now - p_window;
    ELSE
        INSERT INTO arvo.event_key_2 AS known (slot, queue, key, delivery, at)
        SELECT 2, p_queue, p_key, p_delivery, p_now
        WHERE NOT EXISTS (
            SELECT
            FROM arvo.event_key_1 AS former
            WHERE former.slot = 1 AND former.queue = p_queue AND former.key = p_key
            AND former.at > p_now - p_window
        )
        ON CONFLICT (slot, queue, key) DO UPDATE
        SET delivery = excluded.delivery, at = excluded.at
        WHERE known.at <= p_now - p_window;
    END IF;
    RETURN FOUND;
END;
$note_key$;

COMMENT ON FUNCTION arvo.note_key(bigint, integer, bytea, interval, bigint, timestamptz) IS
'Remembers the deduplication key of one event; false when it is known already.';

REVOKE ALL ON FUNCTION arvo.note_key(bigint, integer, bytea, interval, bigint, timestamptz)
FROM PUBLIC;
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
-- of two in one call.
--
--   Reads    arvo.queue; as arvo.note_keys
--   Writes   as arvo.note_keys
--   Locks    as arvo.note_keys
--   Raises   40001  as arvo.note_keys
DECLARE
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
    v_first := arvo.note_keys(v_queues, v_keys, v_deliveries);
    IF v_first IS NULL THEN
        RETURN p_items;
    END IF;

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

--! function arvo.lock_key
-- arvo.lock_key(subject) — the transaction lock that guards a subject's lock row.
CREATE OR REPLACE FUNCTION arvo.lock_key(p_subject text)
RETURNS bigint
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $lock_key$
-- Two subjects with one key only ever cost a spurious "held".
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT hashtextextended(p_subject, hashtextextended('arvo', 0));
$lock_key$;

COMMENT ON FUNCTION arvo.lock_key(text) IS
'Key of the advisory lock that guards a subject''s lock row.';

REVOKE ALL ON FUNCTION arvo.lock_key(text) FROM PUBLIC;
--! end

DROP FUNCTION arvo.let_in(jsonb[]);
--! function arvo.let_in
--! end

DROP FUNCTION arvo.known_keys(integer, integer[], text[], text[], bigint[]);
--! function arvo.known_keys
-- arvo.known_keys(slot, queues, keys) — which deliveries one partition of event_key has for some keys.
CREATE OR REPLACE FUNCTION arvo.known_keys(p_slot integer, p_queues integer[], p_keys bytea[])
RETURNS bigint[]
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $known_keys$
-- One element for each key asked for: the delivery that was first within the queue's window, or NULL;
-- no array at all when none is known.
-- One statement for each partition: asked by its own name, only that one is locked, and the others
-- can be emptied while a dispatcher's transaction stays open.
--
--   Reads    arvo.event_key, one partition, by (queue, key); arvo.queue, arvo.clock
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
    v_deliveries bigint[];
BEGIN
    IF p_slot = 0 THEN
        SELECT array_agg(known.delivery ORDER BY asked.ordinal) INTO v_deliveries
        FROM unnest(p_queues, p_keys) WITH ORDINALITY AS asked (queue, key, ordinal)
        INNER JOIN arvo.queue ON queue.queue = asked.queue
        LEFT JOIN LATERAL (
            SELECT listed.delivery
            FROM arvo.event_key_0 AS listed
            WHERE listed.slot = 0 AND listed.queue = asked.queue AND listed.key = asked.key
            AND listed.at > v_now - queue.deduplicate_for
            LIMIT 1  -- one look-up for each key, also when the plan is made on an empty table
        ) AS known ON true
        HAVING count(known.delivery) > 0;
    ELSIF p_slot = 1 THEN
        SELECT array_agg(known.delivery ORDER BY asked.ordinal) INTO v_deliveries
        FROM unnest(p_queues, p_keys) WITH ORDINALITY AS asked (queue, key, ordinal)
        INNER JOIN arvo.queue ON queue.queue = asked.queue
        LEFT JOIN LATERAL (
            SELECT listed.delivery
            FROM arvo.event_key_1 AS listed
            WHERE listed.slot = 1 AND listed.queue = asked.queue AND listed.key = asked.key
            AND listed.at > v_now - queue.deduplicate_for
            LIMIT 1  -- one look-up for each key, also when the plan is made on an empty table
        ) AS known ON true
        HAVING count(known.delivery) > 0;
    ELSE
        SELECT array_agg(known.delivery ORDER BY asked.ordinal) INTO v_deliveries
        FROM unnest(p_queues, p_keys) WITH ORDINALITY AS asked (queue, key, ordinal)
        INNER JOIN arvo.queue ON queue.queue = asked.queue
        LEFT JOIN LATERAL (
            SELECT listed.delivery
            FROM arvo.event_key_2 AS listed
            WHERE listed.slot = 2 AND listed.queue = asked.queue AND listed.key = asked.key
            AND listed.at > v_now - queue.deduplicate_for
            LIMIT 1  -- one look-up for each key, also when the plan is made on an empty table
        ) AS known ON true
        HAVING count(known.delivery) > 0;
    END IF;
    RETURN v_deliveries;
END;
$known_keys$;

COMMENT ON FUNCTION arvo.known_keys(integer, integer[], bytea[]) IS
'First deliveries that one partition of event_key has for some deduplication keys.';

REVOKE ALL ON FUNCTION arvo.known_keys(integer, integer[], bytea[]) FROM PUBLIC;
--! end

DROP FUNCTION arvo.key_span(interval, timestamptz);
--! function arvo.key_span
--! end

DROP FUNCTION arvo.has_key(integer, bigint, bigint, timestamptz);
--! function arvo.has_key
--! end

--! function arvo.gauges_of_server
-- arvo.gauges_of_server() — figures of upkeep, history and server for a monitoring system.
CREATE OR REPLACE FUNCTION arvo.gauges_of_server()
RETURNS SETOF arvo_v1.gauge
LANGUAGE sql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
AS $gauges_of_server$
-- Sizes are those of the files: a partition that was emptied counts nothing.
--
--   Reads    arvo.worker, arvo.upkeep, arvo.promotion, arvo.deferred by due time, arvo.generation,
--            arvo.schedule, arvo.clock, pg_class, pg_stat_activity, pg_notification_queue_usage
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
WITH now AS MATERIALIZED (
    SELECT arvo.clock() AS at
),

figure (name, state, value) AS (
    SELECT 'arvo.workers', state.name, count(worker.worker)::numeric
    FROM now
    CROSS JOIN (VALUES ('alive', true), ('dead', false)) AS state (name, alive)
    LEFT JOIN arvo.worker
        ON (worker.seen_at + 3 * worker.rhythm > now.at) = state.alive
    GROUP BY state.name
    UNION ALL
    SELECT 'arvo.maintenance.age', NULL, extract(epoch FROM now.at - upkeep.at)
    FROM now
    INNER JOIN arvo.upkeep ON upkeep.task = 'tally'
    UNION ALL
    SELECT
        'arvo.promotion.lag', NULL,
        greatest(coalesce(extract(epoch FROM now.at - waiting.due), 0), 0)
    FROM now
    CROSS JOIN LATERAL (
        SELECT head.due, head.delivery
        FROM arvo.promotion AS head
        ORDER BY head.number DESC
        LIMIT 1
    ) AS passed
    LEFT JOIN LATERAL (
        SELECT deferred.due
        FROM arvo.deferred
        WHERE (deferred.due, deferred.delivery) > (passed.due, passed.delivery)
        ORDER BY deferred.due, deferred.delivery
        LIMIT 1
    ) AS waiting ON true
    UNION ALL
    SELECT 'arvo.generation.number', NULL, max(generation.number)
    FROM arvo.generation
    UNION ALL
    SELECT 'arvo.generation.age', NULL, extract(epoch FROM now.at - max(generation.opened_at))
    FROM now
    CROSS JOIN arvo.generation
    GROUP BY now.at
    UNION ALL
    SELECT 'arvo.generation.kept', state.name, count(old.number)
    FROM (VALUES ('history', true), ('needed', false)) AS state (name, finished)
    LEFT JOIN arvo.generation AS old
        ON old.emptied_at IS NULL
        AND (old.finished_at IS NOT NULL) = state.finished
        AND old.number < (SELECT max(newest.number) FROM arvo.generation AS newest)
    GROUP BY state.name
    UNION ALL
    SELECT
        'arvo.room.size', room.name,
        coalesce(sum(pg_total_relation_size(part.relid)) FILTER (WHERE part.isleaf), 0)
    FROM (
        VALUES ('log'), ('lease'), ('closure'), ('event_key'), ('deferred'), ('parked'), ('dead'),
               ('state')
    ) AS room (name)
    INNER JOIN pg_class AS stored
        ON stored.relname = room.name AND stored.relnamespace = 'arvo'::regnamespace
    CROSS JOIN LATERAL (
        SELECT tree.relid, tree.isleaf
        FROM pg_partition_tree(stored.oid) AS tree
        UNION ALL
        SELECT stored.oid, true
        WHERE stored.relkind = 'r'
        AND NOT EXISTS (SELECT FROM pg_partition_tree(stored.oid))
    ) AS part
    GROUP BY room.name
    UNION ALL
    SELECT
        'arvo.schedules', state.name,
        count(schedule.schedule)
    FROM (VALUES ('active'), ('paused'), ('failing')) AS state (name)
    LEFT JOIN arvo.schedule ON state.name = CASE
        WHEN schedule.error IS NOT NULL THEN 'failing'
        WHEN schedule.paused_at IS NOT NULL THEN 'paused'
        ELSE 'active'
    END
    GROUP BY state.name
    UNION ALL
    SELECT
        'arvo.schedule.lag', NULL,
        greatest(coalesce(extract(epoch FROM now.at - min(schedule.next_at)), 0), 0)
    FROM now
    LEFT JOIN arvo.schedule ON schedule.paused_at IS NULL
    GROUP BY now.at
    UNION ALL
    SELECT 'arvo.snapshot.age', NULL, coalesce(max(age(activity.backend_xmin)), 0)
    FROM pg_stat_activity AS activity
    WHERE activity.pid <> pg_backend_pid()
    UNION ALL
    SELECT 'arvo.notification.usage', NULL, pg_notification_queue_usage()::numeric
)

SELECT figure.name, NULL::text, NULL::integer, figure.state, figure.value::double precision
FROM figure;
$gauges_of_server$;

COMMENT ON FUNCTION arvo.gauges_of_server() IS
'Workers, maintenance, promotion, generations, sizes, schedules, snapshots and notifications in figures.';

REVOKE ALL ON FUNCTION arvo.gauges_of_server() FROM PUBLIC;
--! end

DROP FUNCTION arvo.free_keys(integer, integer[], text[], bigint[]);
--! function arvo.free_keys
--! end

--! function arvo.forget_keys
-- arvo.forget_keys(items) — take back the keys of events that did not get in.
CREATE OR REPLACE FUNCTION arvo.forget_keys(p_items arvo.arrival[])
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $forget_keys$
-- An event that was new but was throttled is no duplicate when it comes again. One statement for
-- each partition, as in arvo.known_keys; this transaction wrote the rows, so it locks nothing new.
--
--   Reads    nothing
--   Writes   arvo.event_key
--   Locks    nothing that this transaction has not written
--   Raises   nothing
DECLARE
    v_queues integer[];
    v_keys bytea[];
    v_deliveries bigint[];
BEGIN
    SELECT
        array_agg(item.queue), array_agg(arvo.event_digest(item.event)), array_agg(item.delivery)
    INTO v_queues, v_keys, v_deliveries
    FROM unnest(p_items) AS item
    WHERE item.outcome = 'throttled';
    IF v_queues IS NULL THEN
        RETURN;
    END IF;
    DELETE FROM arvo.event_key_0 AS known
    USING unnest(v_queues, v_keys, v_deliveries) AS given (queue, key, delivery)
    WHERE known.slot = 0 AND known.queue = given.queue AND known.key = given.key
    AND known.delivery = given.delivery;
    DELETE FROM arvo.event_key_1 AS known
    USING unnest(v_queues, v_keys, v_deliveries) AS given (queue, key, delivery)
    WHERE known.slot = 1 AND known.queue = given.queue AND known.key = given.key
    AND known.delivery = given.delivery;
    DELETE FROM arvo.event_key_2 AS known
    USING unnest(v_queues, v_keys, v_deliveries) AS given (queue, key, delivery)
    WHERE known.slot = 2 AND known.queue = given.queue AND known.key = given.key
    AND known.delivery = given.delivery;
END;
$forget_keys$;

COMMENT ON FUNCTION arvo.forget_keys(arvo.arrival[]) IS
'Removes the deduplication keys of arriving events that were throttled.';

REVOKE ALL ON FUNCTION arvo.forget_keys(arvo.arrival[]) FROM PUBLIC;
--! end

DROP FUNCTION arvo.first_known(bigint[], bigint[], bigint[]);
--! function arvo.first_known
--! end

--! function arvo.event_digest
-- arvo.event_digest(event) — the deduplication key of an event.
CREATE OR REPLACE FUNCTION arvo.event_digest(p_event jsonb)
RETURNS bytea
LANGUAGE plpgsql
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
BEGIN
    RETURN substr(
        sha256(convert_to(
            concat(
                length(p_event ->> 'source'), ':', p_event ->> 'source', p_event ->> 'id'
            ),
            'UTF8'
        )),
        1, 16
    );
END;
$event_digest$;

COMMENT ON FUNCTION arvo.event_digest(jsonb) IS
'First 16 bytes of the SHA-256 of an event''s source and id.';

REVOKE ALL ON FUNCTION arvo.event_digest(jsonb) FROM PUBLIC;
--! end

--! function arvo.empty_generation
-- arvo.empty_generation() — empty the oldest generation when its time has come.
CREATE OR REPLACE FUNCTION arvo.empty_generation()
RETURNS integer
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $empty_generation$
-- Its time has come when it has been finished for delete_after. First what is alive is taken out of
-- it, some thousand rows a call: deferred deliveries get their events, idle lanes a new cursor. Then
-- it is locked against writers, looked through again, and emptied. A lock that cannot be had leaves
-- everything as it is, for the next call. What turns up late makes it wait for delete_after again.
-- Returns 1 when one was emptied, else 0.
--
-- Transactions from long ago lose nothing. One that has written here holds its lock, and nothing
-- happens. One that only knows this slot by number, and writes after it was emptied or is in use
-- again, writes rows as good as any: claims go by lane and transaction, not by slot. One that has
-- looked into the log for an event holds all partitions. A snapshot from before, under REPEATABLE
-- READ, that looks here for the first time finds nothing: TRUNCATE is not undone for snapshots.
--
--   Reads    arvo.generation, arvo.clock, arvo.delete_after; as arvo.slot_pins
--   Writes   arvo.generation; as arvo.carry_deferred, arvo.move_idle, arvo.tally_lanes,
--            arvo.truncate_slot and arvo.forget_slot
--   Locks    as arvo.carry_deferred and arvo.move_idle; then as arvo.freeze_slot; last as
--            arvo.truncate_slot
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
    v_old arvo.generation;
BEGIN
    SELECT old.* INTO v_old
    FROM arvo.generation AS old
    WHERE old.emptied_at IS NULL
    AND old.finished_at <= v_now - arvo.delete_after()
    ORDER BY old.number
    LIMIT 1;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    PERFORM arvo.carry_deferred(v_old.closed_at, 2000);
    PERFORM arvo.move_idle(v_old.slot, 256);

    BEGIN
        PERFORM arvo.freeze_slot(v_old.slot);
        IF EXISTS (SELECT FROM arvo.slot_pins(v_old.slot, v_old.closed_at, 1)) THEN
            UPDATE arvo.generation AS old
            SET finished_at = NULL
            WHERE old.number = v_old.number;
            RETURN 0;
        END IF;
        IF EXISTS (
            SELECT
            FROM arvo.deferred
            WHERE deferred.origin_delivery IS NOT NULL AND deferred.at <= v_old.closed_at
        ) OR EXISTS (
            SELECT
            FROM arvo.lane
            CROSS JOIN LATERAL (
                SELECT newest.slot
                FROM arvo.lease AS newest
                WHERE newest.lane = lane.lane
                ORDER BY newest.number DESC
                LIMIT 1
            ) AS head
            WHERE head.slot = v_old.slot
        ) THEN
            RETURN 0;
        END IF;
        PERFORM arvo.tally_lanes(2147483647);
        PERFORM arvo.truncate_slot(v_old.slot);
        PERFORM arvo.forget_slot(v_old.slot);
    EXCEPTION WHEN lock_not_available THEN
        RETURN 0;
    END;
    UPDATE arvo.generation AS old
    SET emptied_at = v_now
    WHERE old.number = v_old.number;
    RETURN 1;
END;
$empty_generation$;

COMMENT ON FUNCTION arvo.empty_generation() IS
'Empties the oldest generation when nothing in it is needed and it was kept for delete_after.';

REVOKE ALL ON FUNCTION arvo.empty_generation() FROM PUBLIC;
--! end

--! function arvo.empty_event_keys
-- arvo.empty_event_keys(slot) — empty one partition of event_key.
CREATE OR REPLACE FUNCTION arvo.empty_event_keys(p_slot integer)
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '100ms'
AS $empty_event_keys$
-- The partition that is neither in use nor looked at. Returns false when somebody has it locked for
-- a tenth of a second: then everything stays as it is.
--
--   Reads    nothing
--   Writes   arvo.event_key: one partition
--   Locks    that partition: ACCESS EXCLUSIVE, waited for a tenth of a second
--   Raises   nothing
BEGIN
    IF p_slot = 0 THEN
        TRUNCATE arvo.event_key_0;
    ELSIF p_slot = 1 THEN
        TRUNCATE arvo.event_key_1;
    ELSE
        TRUNCATE arvo.event_key_2;
    END IF;
    RETURN true;
EXCEPTION WHEN lock_not_available THEN
    RETURN false;
END;
$empty_event_keys$;

COMMENT ON FUNCTION arvo.empty_event_keys(integer) IS
'Empties a partition of event_key; false when its lock cannot be had.';

REVOKE ALL ON FUNCTION arvo.empty_event_keys(integer) FROM PUBLIC;
--! end

DROP FUNCTION arvo.drop_keys(integer, text[], bigint[], bigint[]);
--! function arvo.drop_keys
--! end

DROP FUNCTION arvo.dedup_key(integer, text, text);
--! function arvo.dedup_key
--! end

DROP FUNCTION arvo.checked_events(jsonb, boolean);
--! function arvo.checked_events
--! end

--! function arvo.append_plain
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
-- What arvo.append does, in a part of its time, for the event that most are: one, without options, to a
-- registered queue that neither defers nor limits what comes in, and not seen before. For any other it
-- has written nothing, and delivery is NULL: the caller calls arvo.append. One statement finds all
-- that is to be known: the lane, the partitions, and whether the numbers are of this cluster.
--
--   Reads    arvo.queue, arvo.lane, arvo.clock, arvo.generation, arvo.event_key_number,
--            arvo.event_key_generation, arvo.origin, arvo.server_start
--   Writes   arvo.log; as arvo.note_key
--   Locks    as arvo.note_key
--   Raises   RV007  the queue is closed to the caller, and it is not an emitted event
--            40001  as arvo.note_key
--            RV902  as arvo.require_home
DECLARE
    v_now timestamptz := arvo.clock();
    v_name text := coalesce(p_event ->> 'to', p_event ->> 'type');
    v_outcome text := 'queued';
    v_own xid8;
    v_queue integer;
    v_lane integer;
    v_window interval;
    v_key_from text;
    v_guarded boolean;
    v_slot smallint;
    v_number bigint;
    v_home boolean;
    v_delivery bigint;
BEGIN
    IF p_event ->> 'domain' IS NOT NULL AND NOT p_ignore_domain THEN
        v_name := 'arvo.domain.' || (p_event ->> 'domain');
        v_outcome := 'domained';
    ELSIF v_name = 'arvo.publish' THEN
        RETURN NULL;
    END IF;

    -- First its own number, then which partition: see arvo.event_key_generation.
    v_own := pg_current_xact_id();
    SELECT
        queue.queue,
        lane.lane,
        CASE WHEN NOT p_emitted THEN queue.deduplicate_for END,
        queue.key_from,
        queue.guarded,
        (
            SELECT generation.slot
            FROM arvo.generation
            ORDER BY generation.number DESC
            LIMIT 1
        ),
        (
            SELECT current.last_value
            FROM arvo.event_key_number AS current
            INNER JOIN arvo.event_key_generation AS generation
                ON generation.number = current.last_value
            WHERE v_own IS NOT NULL
            AND pg_snapshot_xmin(pg_current_snapshot()) >= generation.horizon
        ),
        (
            SELECT
                origin.system_identifier = server_start.system_identifier
                AND coalesce(origin.relation = 'arvo.origin'::regclass::oid, true)
            FROM arvo.origin
            LEFT JOIN arvo.server_start ON server_start.started_at = pg_postmaster_start_time()
            ORDER BY origin.number DESC
            LIMIT 1
        )
    INTO v_queue, v_lane, v_window, v_key_from, v_guarded, v_slot, v_number, v_home
    FROM arvo.queue
    INNER JOIN arvo.lane ON lane.queue = queue.queue AND lane.priority = queue.priority
    WHERE queue.name = v_name
    AND queue.registered
    AND NOT queue.slotted
    AND queue.singleton_for IS NULL
    AND queue.start_after <= interval '0'
    AND NOT lane.retired;
    IF v_home IS NOT TRUE THEN
        PERFORM arvo.require_home();
    END IF;
    IF v_lane IS NULL OR v_window > interval '0' AND v_number IS NULL THEN
        RETURN NULL;
    END IF;
    IF v_guarded AND NOT p_emitted THEN
        PERFORM arvo.require_right(ARRAY[v_name], 'dispatch');
    END IF;

    v_delivery := nextval('arvo.delivery_number'::regclass);
    IF v_window > interval '0' THEN
        IF NOT arvo.note_key(
            v_number, v_queue, arvo.event_digest(p_event), v_window, v_delivery, v_now
        ) THEN
            RETURN NULL;
        END IF;
    END IF;
    INSERT INTO arvo.log (slot, lane, delivery, attempt, at, subject_key, event_key, event, key)
    VALUES (
        v_slot,
        v_lane,
        v_delivery,
        1,
        v_now,
        hashtextextended(p_event ->> 'subject', 0),
        hashtextextended(p_event ->> 'id', 0),
        CASE
            WHEN p_event ? 'time' THEN p_event
            ELSE p_event || jsonb_build_object('time', to_char(
                v_now AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"+00:00"'
            ))
        END,
        CASE WHEN v_key_from IS NOT NULL THEN arvo.key_in(p_event, v_key_from) END
    );
    PERFORM arvo.wake(ARRAY[v_name]);
    RETURN (1, p_event ->> 'id', v_delivery, v_name, v_outcome)::arvo_v1.dispatched;
END;
$append_one$;

COMMENT ON FUNCTION arvo.append_one(jsonb, boolean, boolean) IS
'Appends one plain event; answers no delivery when it takes more than that.';

REVOKE ALL ON FUNCTION arvo.append_one(jsonb, boolean, boolean) FROM PUBLIC;
--! end

-- Keys that the log knows within their windows come into event_key again; rows that are nothing but
-- keys leave the log. The log is read twice and locked meanwhile.
LOCK TABLE arvo.log IN ACCESS EXCLUSIVE MODE;
LOCK TABLE arvo.generation IN SHARE ROW EXCLUSIVE MODE;

CREATE SEQUENCE arvo.event_key_number AS bigint MINVALUE 0 START 0;
COMMENT ON SEQUENCE arvo.event_key_number IS
'Number of the generation of event_key in use. A sequence, because every snapshot must see the newest.';
SELECT setval('arvo.event_key_number', 0, true);

CREATE TABLE arvo.event_key_generation (
    number bigint NOT NULL,
    horizon xid8 NOT NULL,
    opened_at timestamptz NOT NULL,
    CONSTRAINT event_key_generation_number_pkey PRIMARY KEY (number)
);
COMMENT ON TABLE arvo.event_key_generation IS
'Generations of event_key. While a transaction from before the newest one was opened may be running, dispatches write into both.';
COMMENT ON COLUMN arvo.event_key_generation.number IS 'Its number; the partition is number modulo 3.';
COMMENT ON COLUMN arvo.event_key_generation.horizon IS
'Every transaction that may use only the generation before has a number below this.';
COMMENT ON COLUMN arvo.event_key_generation.opened_at IS 'When it came into use.';
INSERT INTO arvo.event_key_generation (number, horizon, opened_at) VALUES (0, '0', clock_timestamp());

CREATE TABLE arvo.event_key (
    slot smallint NOT NULL,
    queue integer NOT NULL,
    key bytea NOT NULL,
    delivery bigint NOT NULL,
    at timestamptz NOT NULL,
    CONSTRAINT event_key_slot_queue_key_pkey PRIMARY KEY (slot, queue, key)
) PARTITION BY LIST (slot);
COMMENT ON TABLE arvo.event_key IS
'Sources and ids that were dispatched lately, per queue: the same again is answered with the first delivery. Three partitions in turn, emptied whole.';
COMMENT ON COLUMN arvo.event_key.slot IS 'The partition.';
COMMENT ON COLUMN arvo.event_key.queue IS 'The queue.';
COMMENT ON COLUMN arvo.event_key.key IS 'First 16 bytes of the SHA-256 of source and id.';
COMMENT ON COLUMN arvo.event_key.delivery IS 'The first delivery.';
COMMENT ON COLUMN arvo.event_key.at IS 'When it was dispatched.';
CREATE TABLE arvo.event_key_0 PARTITION OF arvo.event_key FOR VALUES IN (0);
CREATE TABLE arvo.event_key_1 PARTITION OF arvo.event_key FOR VALUES IN (1);
CREATE TABLE arvo.event_key_2 PARTITION OF arvo.event_key FOR VALUES IN (2);

INSERT INTO arvo.event_key (slot, queue, key, delivery, at)
SELECT DISTINCT ON (known.queue, known.key) 0, known.queue, known.key, known.delivery, known.at
FROM (
    SELECT
        coalesce(lane.queue, log.key::integer) AS queue,
        substr(
            sha256(convert_to(
                concat(
                    length(log.event ->> 'source'), ':', log.event ->> 'source', log.event ->> 'id'
                ),
                'UTF8'
            )),
            1, 16
        ) AS key,
        abs(log.delivery) AS delivery,
        log.at
    FROM arvo.log
    LEFT JOIN arvo.lane ON lane.lane = log.lane
    WHERE log.dedup_key IS NOT NULL
) AS known
INNER JOIN arvo.queue ON queue.queue = known.queue
WHERE known.at > clock_timestamp() - queue.deduplicate_for
ORDER BY known.queue, known.key, known.at DESC;

DELETE FROM arvo.log WHERE log.lane = 0;
DROP INDEX arvo.log_0_event_idx, arvo.log_1_event_idx, arvo.log_2_event_idx, arvo.log_3_event_idx;
ALTER TABLE arvo.log DROP COLUMN dedup_key;
CREATE INDEX log_event_idx ON arvo.log (event_key);
COMMENT ON TABLE arvo.log IS
'Every delivery in order of acceptance, with the event itself at its first. Never updated, never deleted: emptied by generation.';
COMMENT ON COLUMN arvo.log.delivery IS 'Number of the delivery; a retry has a new one.';
COMMENT ON COLUMN arvo.log.key IS 'Hash of its key, as arvo.key_of gives it; NULL when it has none of its own.';

ALTER TABLE arvo.generation
DROP COLUMN horizon,
DROP CONSTRAINT generation_slot_check,
ADD CONSTRAINT generation_slot_check CHECK (slot BETWEEN 0 AND 3);
COMMENT ON TABLE arvo.generation IS
'History of generations: the newest row names the slot (partition) that new rows are stamped with.';
COMMENT ON COLUMN arvo.generation.number IS 'Running number.';

DROP TYPE arvo.key_span;
COMMENT ON COLUMN arvo_v1.maintained.task IS
'promoted, healed, retired, expired, swept, unlocked, keys, notes, turned, finished, opened or emptied.';

DELETE FROM arvo.revision WHERE number = 7;
