-- arvo.verdicts(parted, items): contract, order.
BEGIN;
SELECT plan(9);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.verdicts(arvo.parted,arvo.result[])',
    'SETOF arvo_v1.settled', 'plpgsql', 'immutable', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

-- Items 1 and 4 were single ones of lease 8, item 3 a group of lease 7; 2 and 5 were left: the second a group.
CREATE FUNCTION pg_temp.left_over() RETURNS arvo.result[]
LANGUAGE sql AS $$
    SELECT array_agg(item ORDER BY item.ordinal)
    FROM arvo.read_results('[{"lease": 7, "delivery": 9, "outcome": "nonsense"}, {"lease": 7, "deliveries": [6, 5], "outcome": "completed"}]')
        AS item
$$;
SELECT results_eq(
    $$ SELECT ordinal, lease, delivery, accepted, outcome, code FROM arvo.verdicts(
           (ARRAY[(7, '{3,1}', '{NULL,NULL}', '{3}', NULL)::arvo.completion, (8, '{2,4}', '{1,1}', '{1,4}', NULL)::arvo.completion],
            '[]', '{2,5}')::arvo.parted,
           pg_temp.left_over()) $$,
    $$ VALUES (1, 8::bigint, 2::bigint, true, 'completed', NULL::text), (2, 7, 9, false, 'refused', 'RV006'),
              (3, 7, 3, true, 'completed', NULL), (3, 7, 1, true, 'completed', NULL), (4, 8, 4, true, 'completed', NULL),
              (5, 7, 6, true, 'completed', NULL), (5, 7, 5, true, 'completed', NULL) $$,
    'in the order of the call, the deliveries of a group in theirs'
);
SELECT results_eq(
    $$ SELECT ordinal, delivery FROM arvo.verdicts(('{}', '[]', '{}')::arvo.parted, pg_temp.left_over()) $$,
    $$ VALUES (1, 9::bigint), (2, 6), (2, 5) $$, 'nothing was closed before'
);

SELECT * FROM finish();
ROLLBACK;
