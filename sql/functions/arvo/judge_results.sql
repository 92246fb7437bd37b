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
