-- arvo.judge_results(items): contract, stories, refusals.
BEGIN;
SELECT plan(10);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.judge_results(arvo.result[])',
    'arvo.result[]', 'plpgsql', 'stable', false,
    'nobody',
    ARRAY['search_path=pg_catalog, pg_temp', 'enable_hashjoin=on', 'enable_nestloop=off']
);

-- stories ---------------------------------------------------------------------------------------

-- Lease 7 was taken with deliveries 1 to 5 and carried forward with 2 to 5; lease 8 holds 6.
INSERT INTO arvo.lease (
    slot, lane, number, token, leased_at, expires_at, carried, deliveries, low_xid, high_xid, previous_snapshot, snapshot,
    last_xid, last_delivery, exhausted, open_from, sweep_at
)
SELECT 0, given.lane, given.number, given.token, now(), now(), given.carried, given.deliveries, given.low, given.high,
       '1:1:', '1:1:', '0', 0, true, 1, 'infinity'
FROM (
    VALUES
    (1, 1, 7, false, '{1,2,3,4,5}'::bigint[], '100'::xid8, '105'::xid8),
    (1, 2, 0, false, '{}', NULL, NULL),
    (1, 3, 7, true, '{2,3,4,5}', '101', '104'),
    (2, 1, 8, false, '{6}', '100', '100')
) AS given (lane, number, token, carried, deliveries, low, high);
INSERT INTO arvo.closure (slot, token, at, deliveries, outcomes, run_times)
VALUES
(0, 7, now(), '{1}', '{completed}', '{1}'),
(1, 7, now(), '{3,4}', '{expired,retried}', '{1,1}'),
(0, 8, now(), '{6}', '{cancelled}', '{1}');
CREATE FUNCTION pg_temp.judge(p_results jsonb) RETURNS SETOF arvo.result
LANGUAGE sql AS $$
    SELECT judged.*
    FROM unnest(arvo.judge_results((SELECT array_agg(item) FROM arvo.read_results(p_results) AS item))) AS judged
$$;
SELECT results_eq(
    $$ SELECT ordinal, lease, delivery, asked, lane, low_xid, high_xid, verdict, code, detail, state_version
       FROM pg_temp.judge($r$[
           {"lease": 7, "delivery": 5, "outcome": "completed"},
           {"lease": 7, "delivery": 4, "outcome": "completed"},
           {"lease": 7, "delivery": 3, "outcome": "completed"},
           {"lease": 7, "delivery": 2, "outcome": "failed"},
           {"lease": 7, "delivery": 1, "outcome": "completed"},
           {"lease": 8, "delivery": 6, "outcome": "completed"},
           {"lease": 8, "delivery": 2, "outcome": "completed"},
           {"lease": 9, "delivery": 2, "outcome": "completed"},
           {"lease": 0, "delivery": 2, "outcome": "completed"},
           {"lease": 7, "delivery": 5, "outcome": "failed"}
       ]$r$) $$,
    $$ VALUES
       (1, 7::bigint, 5::bigint, 'completed', 1, '101'::xid8, '104'::xid8, NULL::text, NULL::text, NULL::text, NULL::bigint),
       (2, 7, 4, 'completed', 1, '101', '104', 'already', NULL, NULL, NULL),
       (3, 7, 3, 'completed', 1, '101', '104', 'refused', 'RV301', 'delivery 3 is not held under lease 7', NULL),
       (4, 7, 2, 'failed', 1, '101', '104', NULL, NULL, NULL, NULL),
       (5, 7, 1, 'completed', 1, '101', '104', 'already', NULL, NULL, NULL),
       (6, 8, 6, 'completed', 2, '100', '100', 'refused', 'RV301', 'delivery 6 is not held under lease 8', NULL),
       (7, 8, 2, 'completed', 2, '100', '100', 'refused', 'RV301', 'delivery 2 is not held under lease 8', NULL),
       (8, 9, 2, 'completed', NULL, NULL, NULL, 'refused', 'RV301', 'delivery 2 is not held under lease 9', NULL),
       (9, 0, 2, 'completed', NULL, NULL, NULL, 'refused', 'RV301', 'delivery 2 is not held under lease 0', NULL),
       (10, 7, 5, 'failed', NULL, NULL, NULL, 'refused', 'RV006', 'delivery: is named twice in one call', NULL) $$,
    'open, settled before, taken back, withdrawn, of another lease, of no lease, of the cursor, malformed'
);
SELECT is(arvo.judge_results('{}'), NULL, 'nothing to judge');

INSERT INTO arvo.lease (
    slot, lane, number, token, leased_at, expires_at, carried, deliveries, low_xid, high_xid, previous_snapshot, snapshot,
    last_xid, last_delivery, exhausted, open_from, sweep_at
)
VALUES (0, 3, 1, 9, now(), now(), false, '{7,8}', '100', '100', '1:1:', '1:1:', '0', 0, true, 1, 'infinity');
INSERT INTO arvo.closure (slot, token, at, deliveries, outcomes, run_times)
VALUES (0, 9, now(), '{7,8}', '{released,conflict}', '{1,1}');
SELECT results_eq(
    $$ SELECT asked, verdict, code FROM pg_temp.judge($r$[
           {"lease": 9, "delivery": 7, "outcome": "completed"},
           {"lease": 9, "delivery": 8, "outcome": "completed"}]$r$) $$,
    $$ VALUES ('completed', 'refused', 'RV301'), ('completed', 'already', 'RV101') $$,
    'what was given back runs elsewhere, and what ended in a conflict took no effect'
);

SELECT * FROM finish();
ROLLBACK;
