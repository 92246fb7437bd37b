-- arvo.close_plain(results): contract, stories, refusals.
BEGIN;
SELECT plan(37);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.close_plain(jsonb)',
    'arvo.parted', 'plpgsql', 'volatile', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
CREATE TEMPORARY TABLE held (id text PRIMARY KEY, lease bigint, delivery bigint);
CREATE FUNCTION pg_temp.take(p_queue text, p_limit integer) RETURNS bigint
LANGUAGE sql AS $$
    WITH taken AS (
        INSERT INTO held SELECT event ->> 'id', lease, delivery FROM arvo_v1.claim(ARRAY[p_queue], p_limit)
        ON CONFLICT (id) DO UPDATE SET lease = excluded.lease, delivery = excluded.delivery
        RETURNING 1
    )
    SELECT count(*) FROM taken
$$;
-- A group of deliveries that are held, of the lease of the first.
CREATE FUNCTION pg_temp.some(VARIADIC p_ids text[]) RETURNS jsonb
LANGUAGE sql AS $$
    SELECT jsonb_build_object('outcome', 'completed', 'lease', (array_agg(held.lease ORDER BY listed.ordinality))[1],
                              'deliveries', jsonb_agg(held.delivery ORDER BY listed.ordinality))
    FROM unnest(p_ids) WITH ORDINALITY AS listed (id) INNER JOIN held ON held.id = listed.id
$$;
CREATE FUNCTION pg_temp.one(p_id text, p_outcome text DEFAULT 'completed', p_more jsonb DEFAULT '{}') RETURNS jsonb
LANGUAGE sql AS $$ SELECT pg_temp.result(lease, delivery, p_outcome, p_more) FROM held WHERE id = p_id $$;
-- What was closed, as names, and the places of what is left; none means all.
CREATE FUNCTION pg_temp.parts(VARIADIC p_items jsonb[]) RETURNS text
LANGUAGE sql AS $$
    SELECT concat_ws(' | ',
        coalesce((SELECT string_agg((SELECT string_agg(held.id, ',' ORDER BY gone.ordinality)
                                     FROM unnest(done.deliveries) WITH ORDINALITY AS gone (delivery)
                                     INNER JOIN held ON held.delivery = gone.delivery), ' ')
                  FROM unnest(parted.closed) AS done), 'nothing'),
        parted.items::text, jsonb_array_length(parted.rest))
    FROM arvo.close_plain(to_jsonb(p_items)) AS parted
$$;
CREATE FUNCTION pg_temp.journal() RETURNS TABLE (at timestamptz, ids text, outcomes text[], run_times integer[])
LANGUAGE sql AS $$
    SELECT closure.at, (SELECT string_agg(held.id, ',' ORDER BY gone.ordinality)
                        FROM unnest(closure.deliveries) WITH ORDINALITY AS gone (delivery)
                        INNER JOIN held ON held.delivery = gone.delivery), closure.outcomes, closure.run_times
    FROM arvo.closure ORDER BY closure.token DESC, closure.ctid DESC LIMIT 1
$$;

SELECT arvo_v1.register_queue('q') \gset
SELECT arvo_v1.register_queue('line', p_policy => 'ordered') \gset
SELECT arvo_v1.register_queue('alone', p_policy => 'exclusive') \gset
SELECT arvo_v1.register_queue('frail', p_retry_limit => 0, p_dead_letter => 'morgue') \gset
SELECT arvo_v1.register_queue('morgue') \gset
SELECT count(arvo_v1.dispatch(pg_temp.event('e' || n, 'q'))) FROM generate_series(1, 20) AS n \gset
SELECT arvo_v1.dispatch(pg_temp.event('l1', 'line')) \gset
SELECT arvo_v1.dispatch(pg_temp.event('x1', 'alone')) \gset
SELECT arvo_v1.dispatch(pg_temp.event('d1', 'frail')) \gset
COMMIT AND CHAIN;
SELECT pg_temp.take('q', 4) + pg_temp.take('q', 3) + pg_temp.take('q', 3) + pg_temp.take('q', 3) + pg_temp.take('q', 1)
    + pg_temp.take('line', 1) + pg_temp.take('alone', 1) + pg_temp.take('frail', 1) AS taken \gset
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T00:00:05Z';

SELECT is(pg_temp.parts(VARIADIC '{}'), 'nothing | {} | 0', 'no results');
SELECT is(pg_temp.parts(pg_temp.some('e1', 'e2') || '{"run_times": [5, null]}'), 'e1,e2 | {} | 0', 'a part of a lease');
SELECT results_eq(
    'SELECT * FROM pg_temp.journal()',
    $$ VALUES (timestamptz '2030-01-01 00:00:05Z', 'e1,e2', '{completed}'::text[], '{5,NULL}'::integer[]) $$, 'is in the journal'
);
SELECT is(pg_temp.parts(pg_temp.some('e2', 'e3')), 'nothing | {} | 1', 'one that is closed spoils its group');
SELECT is(pg_temp.parts(pg_temp.some('e4', 'e3', 'e4')), 'nothing | {} | 1', 'so does one that is named twice');
SELECT is(pg_temp.parts(pg_temp.some('e3', 'e5')), 'nothing | {} | 1', 'and one of another lease');
SELECT is(pg_temp.parts(pg_temp.some('e3') || '{"lease": 7}'), 'nothing | {} | 1', 'a lease that does not exist');
SELECT is(pg_temp.parts(pg_temp.some('e3') || '{"lease": 0}'), 'nothing | {} | 1', 'that of cursors');
SELECT is(pg_temp.parts(pg_temp.some('e4', 'e3')), 'e4,e3 | {} | 0', 'the rest of the lease, in another order');
SELECT is(pg_temp.parts(pg_temp.one('e4')), 'nothing | {} | 1', 'then nothing of it is open');
SELECT is(
    pg_temp.parts(pg_temp.one('e7'), pg_temp.some('e8', 'e9', 'e10'), pg_temp.one('e5'), pg_temp.one('e6')),
    'e7,e5,e6 e8,e9,e10 | {} | 0', 'single items are closed together, by lease'
);
SELECT is(
    pg_temp.parts(pg_temp.one('e11'), pg_temp.one('e12', 'failed'), pg_temp.one('e14')), 'e14 | {1,2} | 2',
    'not beside one of their lease that is not plain'
);
SELECT is(
    pg_temp.parts(pg_temp.one('e11') - 'outcome', pg_temp.one('e12')), 'nothing | {} | 2', 'nor beside one that does not say what it is'
);
SELECT is(
    pg_temp.parts(pg_temp.one('e12'), pg_temp.one('e11', NULL)), 'nothing | {} | 2', 'or says null'
);
SELECT is(
    pg_temp.parts(pg_temp.one('e12'), pg_temp.one('e11', p_more => '{"events": "[]"}')), 'nothing | {} | 2', 'or has events that are none'
);
SELECT is(pg_temp.parts(pg_temp.one('e12', 'failed'), pg_temp.some('e11', 'e13')), 'e11,e13 | {1} | 1', 'a group is');
SELECT is(pg_temp.parts(pg_temp.one('e12', 'failed'), pg_temp.some('e12')), 'nothing | {} | 2', 'unless both name the same');
SELECT is(pg_temp.parts(pg_temp.some('e12'), pg_temp.some('e12')), 'nothing | {} | 2', 'two groups of one lease are left');
SELECT is(pg_temp.parts(pg_temp.one('e12'), pg_temp.one('e12')), 'nothing | {} | 2', 'and one that is named twice');
SELECT is(
    pg_temp.parts(pg_temp.some('e12') || '{"run_times": [1234567890]}', pg_temp.some('e12')), 'nothing | {} | 2',
    'a group is left beside another one, also if that is unusual'
);
SELECT is(pg_temp.parts('7', 'null', '{}', '[]', pg_temp.one('e12')), 'e12 | {1,2,3,4} | 4', 'what is malformed is left');
SELECT is(pg_temp.parts(pg_temp.one('l1')), 'nothing | {} | 1', 'an ordered queue has more to do');
SELECT is(pg_temp.parts(pg_temp.one('x1')), 'nothing | {} | 1', 'so has one with places');
COMMIT AND CHAIN;

SELECT arvo_v1.settle(jsonb_build_array(pg_temp.one('d1', 'failed'))) \gset
COMMIT AND CHAIN;
SELECT pg_temp.take('morgue', 1) \gset
COMMIT AND CHAIN;
SELECT is(pg_temp.parts(pg_temp.one('d1')), 'nothing | {} | 1', 'and a dead letter');

-- A heartbeat carries on what is open; a generation later it is found all the same.
SELECT pg_temp.take('q', 6) \gset
COMMIT AND CHAIN;
SELECT is(pg_temp.parts(pg_temp.some('e15', 'e16')), 'e15,e16 | {} | 0', 'before a heartbeat');
SELECT count(*) FROM arvo_v1.extend((SELECT array_agg(lease) FROM held WHERE id = 'e17')) \gset
INSERT INTO arvo.generation (slot, opened_at) VALUES (1, now());
SELECT is(pg_temp.parts(pg_temp.some('e17', 'e16')), 'nothing | {} | 1', 'what was closed before it is closed');
SELECT is(pg_temp.parts(pg_temp.some('e17', 'e18')), 'e17,e18 | {} | 0', 'a lease of an older generation');
SELECT is(pg_temp.parts(pg_temp.some('e17')), 'nothing | {} | 1', 'whose closures are of the newer one');

-- refusals --------------------------------------------------------------------------------------

SELECT is(
    pg_temp.raised($$ SELECT arvo.close_plain(jsonb_build_array(jsonb_build_object(
        'lease', 7, 'deliveries', (SELECT jsonb_agg(n) FROM generate_series(1, 10001) AS n), 'outcome', 'completed'))) $$),
    'RV006 | argument is not valid | results | results names 10001 deliveries.', 'too many in a group'
);
SELECT is(
    pg_temp.raised($$ SELECT arvo.close_plain(jsonb_build_array('{}'::jsonb, jsonb_build_object(
        'lease', 7, 'deliveries', (SELECT jsonb_agg(n) FROM generate_series(1, 10000) AS n), 'outcome', 'completed'))) $$),
    'RV006 | argument is not valid | results | results names 10001 deliveries.', 'too many together'
);

SELECT * FROM finish();
ROLLBACK;
