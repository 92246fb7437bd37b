-- arvo.judge_results(items) — which results are the holder's to report.
CREATE OR REPLACE FUNCTION arvo.judge_results(p_items arvo.result[])
RETURNS arvo.result[]
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_hashjoin = on
SET enable_nestloop = off
AS $judge_results$
-- Fills in where each lease's deliveries stand, and refuses (RV301) or answers "already" what is not
-- open under the lease named. What ended in a conflict took no effect, also when it is asked about
-- again: "already", with code RV101. What was released, or went back with the rest of its run, runs
-- elsewhere: any other result of it is refused. The caller holds the leases' locks.
--
-- Leases and closures are looked up by token, and cannot be had otherwise; what they hold is met with
-- the results by hashing, so that the cost does not grow with the square of a lease's size.
--
--   Reads    arvo.lease and arvo.closure, by token
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
BEGIN
    RETURN (
        WITH item AS MATERIALIZED (
            SELECT listed.* FROM unnest(p_items) AS listed
        ),

        held AS MATERIALIZED (
            SELECT newest.*
            FROM (SELECT DISTINCT item.lease FROM item WHERE item.verdict IS NULL) AS named
            CROSS JOIN LATERAL (
                SELECT
                    lease.token, lease.lane, lease.low_xid, lease.high_xid, lease.deliveries,
                    lease.xids, lease.keys, lease.places,
                    CASE WHEN lease.low_xid = lease.high_xid THEN lease.low_xid END AS xid
                FROM arvo.lease
                WHERE lease.token = named.lease AND lease.token <> 0
                ORDER BY lease.number DESC
                LIMIT 1
            ) AS newest
        ),

        leased AS MATERIALIZED (
            SELECT
                held.token, taken.delivery,
                coalesce(held.xid, taken.xid) AS xid, taken.key, taken.place
            FROM held
            CROSS JOIN LATERAL unnest(held.deliveries, held.xids, held.keys, held.places)
                AS taken (delivery, xid, key, place)
        ),

        closed AS MATERIALIZED (
            SELECT
                held.token,
                gone.delivery,
                coalesce(gone.outcome, one.outcome) AS outcome
            FROM held
            CROSS JOIN LATERAL (
                SELECT closure.deliveries, closure.outcomes, closure.outcomes[1] AS outcome
                FROM arvo.closure
                WHERE closure.token = held.token
                OFFSET 0
            ) AS one
            CROSS JOIN LATERAL unnest(one.deliveries, one.outcomes) AS gone (delivery, outcome)
        ),

        judged AS (
            SELECT
                item.*,
                held.lane AS held_lane,
                held.low_xid AS held_low_xid,
                held.high_xid AS held_high_xid,
                leased.xid AS held_xid,
                leased.key AS held_key,
                leased.place AS held_place,
                closed.outcome AS closed_outcome,
                CASE
                    WHEN item.verdict IS NOT NULL THEN item.verdict
                    WHEN closed.outcome = 'released' AND item.asked <> 'released' THEN 'refused'
                    WHEN closed.outcome NOT IN ('expired', 'cancelled', 'moved') THEN 'already'
                    WHEN closed.outcome IS NOT NULL OR held.token IS NULL
                        OR leased.delivery IS NULL THEN 'refused'
                END AS judgement
            FROM item
            LEFT JOIN held ON held.token = item.lease AND item.verdict IS NULL
            LEFT JOIN leased
                ON leased.token = item.lease AND leased.delivery = item.delivery AND item.verdict IS NULL
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
                judged.held_xid,
                judged.held_key,
                judged.held_place,
                NULL,
                judged.named_in
            )::arvo.result
            ORDER BY judged.ordinal
        )
        FROM judged
    );
END;
$judge_results$;

COMMENT ON FUNCTION arvo.judge_results(arvo.result[]) IS
'Refuses results whose delivery is not open under the lease that they name.';

REVOKE ALL ON FUNCTION arvo.judge_results(arvo.result[]) FROM PUBLIC;
