-- arvo.put_states(items): contract, stories.
BEGIN;
SELECT plan(23);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.put_states(arvo.result[])',
    'arvo.result[]', 'plpgsql', 'volatile', false,
    'nobody',
    ARRAY[
        'search_path=pg_catalog, pg_temp',
        'enable_seqscan=off',
        'enable_bitmapscan=off',
        'enable_hashjoin=on',
        'enable_mergejoin=off',
        'jit=off',
        'plan_cache_mode=force_generic_plan'
    ]
);

-- stories ---------------------------------------------------------------------------------------

SET LOCAL arvo.frozen_clock = '2030-01-01T00:00:00Z';
-- Items 'subject expected [key place [verdict]]'; what became of each: its version, or verdict and code.
CREATE FUNCTION pg_temp.put(VARIADIC p_items text[]) RETURNS text
LANGUAGE sql AS $$
    SELECT string_agg(coalesce(item.state_version::text, concat_ws(' ', item.verdict, item.code)), ', ' ORDER BY item.ordinal)
    FROM (
        SELECT arvo.put_states(array_agg(
            jsonb_populate_record(NULL::arvo.result, jsonb_build_object(
                'ordinal', given.ordinal, 'lease', 1, 'delivery', given.ordinal, 'asked', 'completed',
                'key', given.words[3], 'place', given.words[4], 'verdict', given.words[5],
                'state', CASE WHEN given.words[2] <> '-' THEN jsonb_build_object(
                    'subject', given.words[1], 'expected_version', given.words[2]::bigint,
                    'data', jsonb_build_object('executionStatus', 's' || given.ordinal, 'by', given.ordinal),
                    'parent_subject', 'root', 'initiator', 'i', 'source', 'h'
                ) END
            ))
            ORDER BY given.ordinal
        )) AS items
        FROM (SELECT string_to_array(item, ' ') AS words, ordinal FROM unnest(p_items) WITH ORDINALITY AS i (item, ordinal)) AS given
    ) AS put
    CROSS JOIN LATERAL unnest(put.items) AS item
$$;
CREATE FUNCTION pg_temp.states() RETURNS text
LANGUAGE sql AS $$
    SELECT string_agg(concat_ws(' ', subject, version, execution_status, data ->> 'by'), ', ' ORDER BY subject) FROM arvo.state
$$;
SELECT is(pg_temp.put('a 0'), '1', 'a single first write');
SELECT is(pg_temp.put('a 1'), '2', 'a single later one');
SELECT is(pg_temp.put('a 1'), 'conflict RV101', 'a single one that comes too late');
SELECT is(pg_temp.put('c 0', 'b 0', 'x -'), '1, 1, ', 'several first writes, and one that writes none');
SET LOCAL arvo.frozen_clock = '2030-01-01T00:00:05Z';
SELECT is(pg_temp.put('c 1', 'a 2', 'd 0', 'b 1'), '2, 3, 1, 2', 'several of both kinds');
SELECT is(pg_temp.states(), 'a 3 s2 2, b 2 s4 4, c 2 s1 1, d 1 s3 3', 'each has its own');
SELECT results_eq(
    'SELECT initiator, source, created_at, changed_at FROM arvo.state WHERE subject = $$c$$',
    $$ VALUES ('i', 'h', timestamptz '2030-01-01 00:00:00Z', timestamptz '2030-01-01 00:00:05Z') $$, 'with its times'
);
SELECT is(
    (SELECT array_agg(lineage.subject ORDER BY lineage.subject) FROM arvo.lineage INNER JOIN arvo.lineage AS parent ON parent.subject_digest = lineage.parent_digest WHERE parent.subject = 'root'),
    '{a,b,c,d}', 'all have their places in the tree'
);
SELECT is(pg_temp.put('a 3', 'b 1', 'c 0', 'd 1 9 9 refused', 'e 1', 'f 0'), '4, conflict RV101, conflict RV101, refused, conflict RV101, 1', 'a conflict spoils no other; what was refused is left alone');
SELECT is(pg_temp.states(), 'a 4 s1 1, b 2 s4 4, c 2 s1 1, d 1 s3 3, f 1 s6 6', 'and changes nothing');
SELECT is(pg_temp.put('a 5 1 2', 'a 4 1 1', 'b 2 2 3'), '6, 5, 3', 'a run writes several versions of one subject, in the order of its places');
SELECT is(pg_temp.put('a 6 1 1', 'a 6 1 2', 'a 7 1 3', 'b 3 2 4'), '7, conflict RV101, refused RV301, 4', 'what follows a conflict in a run is refused');
SELECT is(pg_temp.put('b 4', 'b 4', 'b 5'), '5, conflict RV101, 6', 'without a run, each is judged by itself');
SELECT is(pg_temp.states(), 'a 7 s1 1, b 6 s3 3, c 2 s1 1, d 1 s3 3, f 1 s6 6', 'that is what is stored');

SELECT is(
    pg_temp.put('z 3 7 1', 'a 7 7 2', 'k 0 7 3', 'a 8 8 9', 'a 7'), 'conflict RV101, refused RV301, refused RV301, conflict RV101, 8',
    'also of other subjects, which come before it by name'
);
SELECT is(pg_temp.states(), 'a 8 s5 5, b 6 s3 3, c 2 s1 1, d 1 s3 3, f 1 s6 6', 'and is not stored');

SELECT * FROM finish();
ROLLBACK;
