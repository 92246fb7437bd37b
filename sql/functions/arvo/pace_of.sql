-- arvo.pace_of(queue) — rates and times of a queue, from its newest claims.
CREATE OR REPLACE FUNCTION arvo.pace_of(p_queue integer)
RETURNS arvo.pace
LANGUAGE sql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $pace_of$
-- A sample, bounded whatever the load: of each lane the newest 200 claims of the last five minutes. A
-- rate is per minute of the time that they cover. Run times are those that workers report; waits are
-- looked up in the log for the newest 200 deliveries of each lane (without those leased before
-- revision 3, whose transactions are not known one by one).
--
--   Reads    arvo.lane, arvo.lease by (lane, number), arvo.closure by token, arvo.log by (lane, xid,
--            delivery), arvo.clock
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
WITH now AS MATERIALIZED (
    SELECT arvo.clock() AS at
),

claim AS MATERIALIZED (
    SELECT newest.*
    FROM now
    CROSS JOIN arvo.lane
    CROSS JOIN LATERAL (
        SELECT recent.*
        FROM (
            SELECT
                lease.lane, lease.number, lease.token, lease.carried, lease.leased_at,
                lease.deliveries, lease.xids, lease.low_xid, lease.high_xid
            FROM arvo.lease
            WHERE lease.lane = lane.lane
            ORDER BY lease.number DESC
            LIMIT 200
        ) AS recent
        WHERE recent.token <> 0
        AND NOT recent.carried
        AND recent.leased_at > now.at - interval '5 minutes'
    ) AS newest
    WHERE lane.queue = p_queue
),

-- Where less than 200 rows reach back five minutes, the whole five minutes are covered.
covered AS MATERIALIZED (
    SELECT
        lane.lane,
        CASE
            WHEN oldest.leased_at > now.at - interval '5 minutes'
                THEN greatest(extract(epoch FROM now.at - oldest.leased_at), 1) / 60.0
            ELSE 5.0
        END AS minutes
    FROM now
    CROSS JOIN arvo.lane
    LEFT JOIN LATERAL (
        SELECT lease.leased_at
        FROM arvo.lease
        WHERE lease.lane = lane.lane
        ORDER BY lease.number DESC
        OFFSET 199
        LIMIT 1
    ) AS oldest ON true
    WHERE lane.queue = p_queue
),

run AS MATERIALIZED (
    SELECT
        claim.lane,
        closure.outcomes[least(done.ordinal, cardinality(closure.outcomes))] AS outcome,
        done.run_time
    FROM claim
    INNER JOIN arvo.closure ON closure.token = claim.token
    CROSS JOIN LATERAL
        unnest(closure.deliveries, closure.run_times) WITH ORDINALITY
            AS done (delivery, run_time, ordinal)
),

wait AS MATERIALIZED (
    SELECT extract(epoch FROM taken.leased_at - entry.at) AS seconds
    FROM arvo.lane
    CROSS JOIN LATERAL (
        SELECT
            claim.leased_at,
            leased.delivery,
            coalesce(
                claim.xids[least(leased.ordinal, cardinality(claim.xids))],
                CASE WHEN claim.low_xid = claim.high_xid THEN claim.low_xid END
            ) AS xid
        FROM claim
        CROSS JOIN LATERAL
            unnest(claim.deliveries) WITH ORDINALITY AS leased (delivery, ordinal)
        WHERE claim.lane = lane.lane
        ORDER BY claim.number DESC, leased.ordinal
        LIMIT 200
    ) AS taken
    CROSS JOIN LATERAL (
        SELECT log.at
        FROM arvo.log
        WHERE log.lane = lane.lane AND log.xid = taken.xid AND log.delivery = taken.delivery
        OFFSET 0
    ) AS entry
    WHERE lane.queue = p_queue
)

SELECT
    coalesce((
        SELECT sum(rate.completed)
        FROM (
            SELECT count(*) FILTER (WHERE run.outcome = 'completed')::double precision
                / max(covered.minutes)::double precision AS completed
            FROM covered
            INNER JOIN run ON run.lane = covered.lane
            GROUP BY covered.lane
        ) AS rate
    ), 0),
    coalesce((
        SELECT sum(rate.failed)
        FROM (
            SELECT
                count(*) FILTER (
                    WHERE run.outcome IN ('retried', 'dead', 'expired')
                )::double precision / max(covered.minutes)::double precision AS failed
            FROM covered
            INNER JOIN run ON run.lane = covered.lane
            GROUP BY covered.lane
        ) AS rate
    ), 0),
    (SELECT make_interval(secs => avg(wait.seconds)::double precision) FROM wait),
    (
        SELECT make_interval(
            secs => percentile_disc(0.95) WITHIN GROUP (ORDER BY wait.seconds)::double precision
        )
        FROM wait
    ),
    (SELECT make_interval(secs => avg(run.run_time)::double precision / 1000000) FROM run),
    (
        SELECT make_interval(
            secs => percentile_disc(0.95) WITHIN GROUP (ORDER BY run.run_time)
                ::double precision / 1000000
        )
        FROM run
        WHERE run.run_time IS NOT NULL
    );
$pace_of$;

COMMENT ON FUNCTION arvo.pace_of(integer) IS
'Completed and failed per minute, waits and run times of a queue, from its newest claims.';

REVOKE ALL ON FUNCTION arvo.pace_of(integer) FROM PUBLIC;
