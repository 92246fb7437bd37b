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
            AND log.lane <> 0  -- where keys stand
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
