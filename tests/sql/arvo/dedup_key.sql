-- arvo.dedup_key(queue, source, id): contract, a table of cases.
BEGIN;
SELECT plan(11);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.dedup_key(integer,text,text)',
    'bigint', 'plpgsql', 'immutable', false,
    'nobody'
);

-- cases -----------------------------------------------------------------------------------------

SELECT is(arvo.dedup_key(1, 'a', 'b'), arvo.dedup_key(1, 'a', 'b'), 'the same, the same');
SELECT is(
    (SELECT count(DISTINCT arvo.dedup_key(queue, source, id)) FROM (
        VALUES (1, 'a', 'b'), (2, 'a', 'b'), (1, 'b', 'a'), (1, 'ab', ''), (1, '', 'ab'), (1, '1:a', 'b'), (1, 'a', 'B')
    ) AS given (queue, source, id)),
    7::bigint, 'queue, source and id tell apart, wherever source ends'
);
SELECT is(
    arvo.dedup_key(7, 'ä', 'ö'), hashtextextended(encode(sha256(convert_to('1:äö', 'UTF8')), 'hex'), 7),
    'which is a hash of a hash: what arvo.append_plain computes for itself'
);
DO $$ BEGIN PERFORM arvo_v1.register_queue('q'); END; $$;
SELECT outcome FROM arvo_v1.dispatch(pg_temp.event('1', 'q')) \gset
SELECT count(*) FROM arvo_v1.dispatch_many(jsonb_build_array(pg_temp.event('2', 'q'))) \gset
SELECT count(*) FROM arvo_v1.dispatch(pg_temp.event('3', 'q'), '1 hour') \gset
SELECT results_eq(
    $$ SELECT event ->> 'id', dedup_key FROM arvo.log ORDER BY 1 $$,
    $$ SELECT id, arvo.dedup_key(queue, 'com.test.source', id) FROM arvo.queue, unnest('{1,2,3}'::text[]) AS id WHERE name = 'q' ORDER BY 1 $$,
    'one, many and those that are noted agree'
);

SELECT * FROM finish();
ROLLBACK;
