-- arvo.both(one, more): contract, stories.
BEGIN;
SELECT plan(11);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.both(arvo.taking,arvo.taking)',
    'arvo.taking', 'sql', 'immutable', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

CREATE FUNCTION pg_temp.taking(p_first bigint, p_count integer, p_put_off bigint[], p_ready_from bigint) RETURNS arvo.taking
LANGUAGE sql AS $$
    SELECT (
        array_agg(jsonb_populate_record(NULL::arvo.log, jsonb_build_object('delivery', number))), array_agg(number * 10),
        array_agg(number * 100), p_put_off, p_count - cardinality(p_put_off), p_ready_from
    )::arvo.taking
    FROM generate_series(p_first, p_first + p_count - 1) AS number
$$;
CREATE FUNCTION pg_temp.told(p_taking arvo.taking) RETURNS text
LANGUAGE sql AS $$
    SELECT concat_ws(
        ' ', (SELECT array_agg(entry.delivery)::text FROM unnest(p_taking.batch) AS entry), p_taking.keys::text, p_taking.places::text,
        p_taking.put_off::text, p_taking.taken, p_taking.ready_from
    )
$$;
SELECT is(
    pg_temp.told(arvo.both(pg_temp.taking(1, 2, '{}', 5), pg_temp.taking(3, 2, '{4}', 6))),
    '{1,2,3,4} {10,20,30,40} {100,200,300,400} {4} 3 6', 'one after the other'
);
SELECT is(
    pg_temp.told(arvo.both(pg_temp.taking(1, 1, '{1}', 5), pg_temp.taking(3, 1, '{3}', NULL))),
    '{1,3} {10,30} {100,300} {1,3} 0 5', 'one that has read nothing of the line leaves it where it was'
);
SELECT is(
    arvo.both(pg_temp.taking(1, 2, '{}', 5), arvo.no_taking(NULL)), pg_temp.taking(1, 2, '{}', 5), 'nothing more'
);
SELECT is(
    arvo.both(arvo.no_taking(9), arvo.no_taking(NULL)), arvo.no_taking(9), 'nothing at all'
);

SELECT * FROM finish();
ROLLBACK;
