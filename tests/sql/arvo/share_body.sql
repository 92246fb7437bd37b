-- arvo.share_body(items): contract, cases.
BEGIN;
SELECT plan(9);
\ir ../given.psql

SELECT * FROM pg_temp.contract(
    'arvo.share_body(arvo.arrival[])', 'arvo.arrival[]', 'plpgsql', 'immutable', false, 'nobody'
);

-- An arrival: which event of the array it is a copy of, what keeps it out, how long it is put off.
CREATE FUNCTION pg_temp.origins(p_copies jsonb) RETURNS text
LANGUAGE sql AS $$
    SELECT array_agg(item.origin ORDER BY item.ordinal)::text
    FROM unnest(arvo.share_body((
        SELECT array_agg(jsonb_populate_record(NULL::arvo.arrival, jsonb_build_object(
            'ordinal', copy.ordinal, 'given', copy.value -> 0, 'outcome', copy.value -> 1, 'after', copy.value -> 2
        )) ORDER BY copy.ordinal)
        FROM jsonb_array_elements(p_copies) WITH ORDINALITY AS copy (value, ordinal)
    ))) AS item
$$;
SELECT is(
    pg_temp.origins('[[1, null, "0"], [1, null, "0"], [2, null, "0"], [1, null, "5 s"], [2, null, "0"]]'), '{NULL,1,NULL,1,3}',
    'the first copy of each event carries it for the later ones'
);
SELECT is(
    pg_temp.origins('[[1, "duplicate", "0"], [1, null, "5 s"], [1, null, "0"], [1, null, "0"], [1, "debounced", "3 s"]]'),
    '{NULL,NULL,NULL,3,3}', 'only one that goes in at once carries it for others'
);

SELECT * FROM finish();
ROLLBACK;
