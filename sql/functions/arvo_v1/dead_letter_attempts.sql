-- arvo_v1.dead_letter_attempts(dead) — the attempts that ended in a dead letter, with their times.
CREATE OR REPLACE FUNCTION arvo_v1.dead_letter_attempts(p_dead bigint)
RETURNS SETOF arvo_v1.attempt
LANGUAGE plpgsql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $dead_letter_attempts$
-- Every delivery from the dispatch (or the redrive, the replay) to the death, in order; none for a
-- number that is not there, or of a queue that the caller may not operate. The story of the last one is in the dead letter, so it is always told;
-- of one whose history has been removed only the number is known, and of those before it nothing.
-- What a consumer of the dead-letter queue did is not part of it. By index only.
--
--   Reads    arvo.dead, arvo.log by event, arvo.lease by (lane, transaction), arvo.closure by token
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_dead arvo.dead;
BEGIN
    SELECT dead.* INTO v_dead FROM arvo.dead WHERE dead.dead = p_dead;
    IF NOT FOUND OR NOT arvo.may(v_dead.queue, 'operate') THEN
        RETURN;
    END IF;

    RETURN QUERY
    WITH RECURSIVE entry AS MATERIALIZED (
        SELECT log.delivery, log.lane, log.xid, log.attempt, log.at, log.cause
        FROM arvo.log
        WHERE log.event_key = v_dead.event_key
    ),

    -- from the last delivery back to the first: each one's cause names the one before
    chain AS (
        SELECT v_dead.delivery AS delivery, nullif(v_dead.error, 'null') AS error, 0 AS back
        UNION ALL
        SELECT
            (entry.cause ->> 'delivery')::bigint,
            nullif(entry.cause -> 'error', 'null'),
            chain.back + 1
        FROM chain
        INNER JOIN entry ON entry.delivery = chain.delivery
        WHERE entry.cause ->> 'outcome' IN (
            'failed', 'expired', 'rejected', 'released', 'snoozed', 'conflict'
        )
    )

    SELECT
        chain.delivery,
        CASE WHEN chain.back = 0 THEN v_dead.attempts ELSE entry.attempt END,
        entry.at,
        held.leased_at,
        CASE WHEN chain.back = 0 THEN v_dead.died_at ELSE closed.at END,
        make_interval(secs => closed.run_time / 1000000.0),
        held.worker,
        coalesce(closed.outcome, CASE WHEN chain.back = 0 THEN 'dead' END),
        chain.error
    FROM chain
    LEFT JOIN entry ON entry.delivery = chain.delivery
    LEFT JOIN LATERAL (
        SELECT lease.token, lease.leased_at, lease.worker
        FROM arvo.lease
        WHERE lease.lane = entry.lane
        AND lease.high_xid >= entry.xid
        AND lease.low_xid <= entry.xid
        AND lease.token <> 0
        AND entry.delivery = ANY (lease.deliveries)
        AND NOT lease.carried
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
    ORDER BY chain.back DESC;
END;
$dead_letter_attempts$;

COMMENT ON FUNCTION arvo_v1.dead_letter_attempts(bigint) IS
'The attempts that ended in a dead letter: when accepted, claimed, settled, by whom, with what error.';

REVOKE ALL ON FUNCTION arvo_v1.dead_letter_attempts(bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.dead_letter_attempts(bigint) TO arvo_operator;
