-- arvo_v1.subscribe(queue, pattern): contract, refusals, stories.
BEGIN;
SELECT plan(24);
\ir ../given.psql

SELECT * FROM pg_temp.contract(
    'arvo_v1.subscribe(text, text)', 'boolean', 'plpgsql', 'volatile', true, 'arvo_operator, arvo_worker'
);

SELECT is(
    pg_temp.raised(format('SELECT arvo_v1.subscribe(%L, %L)', 'q', pattern)),
    'RV006 | argument is not valid | pattern | pattern: ' || to_json(pattern), 'no pattern: ' || pattern
)
FROM unnest(ARRAY['', 'Com.test', 'com.**.event', 'com..event', 'com.te*', '***', '.com', E'com\n', '(.*)']) AS pattern;
SELECT matches(pg_temp.raised($$ SELECT arvo_v1.subscribe('q', NULL) $$), '^RV006 ', 'nor NULL');
SELECT matches(pg_temp.raised($$ SELECT arvo_v1.subscribe('arvo.publish', '**') $$), '^RV002 ', 'arvo.publish does not subscribe to itself');
SELECT matches(pg_temp.raised($$ SELECT arvo_v1.subscribe('a"b', '**') $$), '^RV002 ', 'a queue needs a name');

SELECT results_eq(
    $$ SELECT arvo_v1.subscribe('q', 'com.*.event'), arvo_v1.subscribe('q', 'com.*.event') $$, $$ VALUES (true, false) $$,
    'it says whether it is new'
);
SELECT is((SELECT registered FROM arvo.queue WHERE name = 'q'), false, 'the queue is made when it is missing');
SELECT arvo_v1.subscribe('q', '**');
SELECT arvo_v1.subscribe('q', 'com.test.**');
SELECT arvo_v1.subscribe('q', 'com.test.event');
SELECT results_eq(
    $$ SELECT type, (SELECT array_agg(pattern ORDER BY pattern COLLATE "C") FROM arvo_v1.subscriptions(p_type => type))
       FROM unnest(ARRAY['com.test.event', 'com.test.event.sub', 'comxtest.event.a', 'org.test.event']) AS type $$,
    $$ VALUES ('com.test.event', ARRAY['**', 'com.*.event', 'com.test.**', 'com.test.event']),
              ('com.test.event.sub', ARRAY['**', 'com.test.**']), ('comxtest.event.a', ARRAY['**']), ('org.test.event', ARRAY['**']) $$,
    'one star is one segment, two are the rest; a dot is a dot'
);
SELECT is((SELECT count(*) FROM arvo_v1.subscriptions('q')), 4::bigint, 'a queue may have many');
SELECT is((SELECT count(*) FROM arvo_v1.subscriptions('none')), 0::bigint, 'or none');

SELECT * FROM finish();
ROLLBACK;
