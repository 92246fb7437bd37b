-- arvo.event_digest(event): contract, a table of cases.
BEGIN;
SELECT plan(14);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.event_digest(jsonb)',
    'bytea', 'plpgsql', 'immutable', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

CREATE FUNCTION pg_temp.digest(p_source text, p_id text) RETURNS bytea
LANGUAGE sql AS $$ SELECT arvo.event_digest(jsonb_build_object('source', p_source, 'id', p_id)) $$;
SELECT is(
    pg_temp.digest('com.test.source', '1'), substr(sha256('15:com.test.source1'), 1, 16), 'sixteen bytes of the hash of both'
);
SELECT is(
    arvo.event_digest(pg_temp.event('1', 'a')), arvo.event_digest(pg_temp.event('1', 'b', '{"type": "x.y.z", "data": {}}')),
    'nothing else counts'
);
SELECT isnt(pg_temp.digest('a', '1'), pg_temp.digest('a', '2'), 'another id');
SELECT isnt(pg_temp.digest('a', '1'), pg_temp.digest('b', '1'), 'another source');
SELECT isnt(pg_temp.digest('a1', '2'), pg_temp.digest('a', '12'), 'where one ends and the other begins');
SELECT isnt(pg_temp.digest('ä', '2'), pg_temp.digest('a', '2'), 'characters of two bytes');
SELECT is(
    (SELECT count(DISTINCT pg_temp.digest(repeat('1', one), repeat('1', 40 - one))) FROM generate_series(1, 39) AS one), 39::bigint,
    'every way to cut a text in two has its own'
);

SELECT * FROM finish();
ROLLBACK;
