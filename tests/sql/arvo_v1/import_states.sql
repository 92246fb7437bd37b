-- arvo_v1.import_states(rows, locked, dry_run): contract, stories, refusals.
BEGIN;
SELECT plan(39);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo_v1.import_states(jsonb, text, boolean)',
    'SETOF arvo_v1.imported', 'plpgsql', 'volatile', true,
    'arvo_operator',
    ARRAY['search_path=pg_catalog, pg_temp', 'enable_seqscan=off', 'jit=off']
);

-- stories ---------------------------------------------------------------------------------------

-- Outcomes with their codes, in the order of the rows.
CREATE FUNCTION pg_temp.import(p_rows jsonb, p_locked text DEFAULT 'refuse', p_dry_run boolean DEFAULT false)
RETURNS text
LANGUAGE sql AS $$
    SELECT string_agg(
        concat_ws(' ', subject, outcome, code, version), ', ' ORDER BY ordinality
    )
    FROM arvo_v1.import_states(p_rows, p_locked, p_dry_run) WITH ORDINALITY
$$;
CREATE FUNCTION pg_temp.row(p_subject text, p_version integer, p_more jsonb DEFAULT '{}') RETURNS jsonb
LANGUAGE sql AS $$
    SELECT jsonb_build_array(
        jsonb_build_object('subject', p_subject, 'version', p_version, 'data', jsonb_build_object('n', p_version))
        || p_more
    )
$$;

SET LOCAL arvo.frozen_clock = '2030-01-01T00:00:00Z';
SELECT is(pg_temp.import('[]'), NULL, 'nothing is nothing');
SELECT is(
    pg_temp.import(pg_temp.row('a', 5), p_dry_run => true), 'a taken 5', 'a dry run says what would be'
);
SELECT is_empty('SELECT FROM arvo.state', 'and stores nothing');
SELECT is_empty('SELECT FROM arvo.lineage', 'no place');
SELECT is_empty('SELECT FROM arvo.operation', 'no audit');
SELECT is(
    pg_temp.import(pg_temp.row('a', 5, '{
        "source": "com.flow", "initiator": "com.app", "execution_status": "normal",
        "data": {"n": 5, "__postgres_version_counter_data_$$__": 4},
        "created_at": "2029-01-01T00:00:00+00:00", "updated_at": "2029-06-01T00:00:00+00:00"
    }')),
    'a taken 5', 'a state is taken'
);
SELECT results_eq(
    'SELECT version, data, execution_status, initiator, source, created_at, changed_at FROM arvo.state',
    $$ VALUES (5::bigint, '{"n": 5}'::jsonb, 'normal', 'com.app', 'com.flow',
               timestamptz '2029-01-01 00:00:00Z', timestamptz '2029-06-01 00:00:00Z') $$,
    'with its version, its times and all that is known'
);
SELECT is(pg_temp.import(pg_temp.row('a', 5)), 'a present 5', 'the same again is there already');
SELECT is(pg_temp.import(pg_temp.row('a', 4)), 'a present 5', 'so is an older one');
SELECT is(pg_temp.import(pg_temp.row('a', 7), p_dry_run => true), 'a updated 7', 'a newer one would be taken');
SELECT is(pg_temp.import(pg_temp.row('a', 7)), 'a updated 7', 'and is: it went on there');
SELECT is(arvo_v1.write_state('a', '{"n": "here"}', 7), 8::bigint, 'the workflow goes on here');
SELECT is(pg_temp.import(pg_temp.row('a', 7)), 'a present 8', 'what was taken is there still');
SELECT is(pg_temp.import(pg_temp.row('a', 8)), 'a refused diverged 8', 'it went on there as well: that is refused');
SELECT is(pg_temp.import(pg_temp.row('a', 9)), 'a refused diverged 8', 'however far it went');
SELECT is((SELECT data FROM arvo.state), '{"n": "here"}'::jsonb, 'what was written here stays');
SELECT is(
    (SELECT detail FROM arvo_v1.import_states(pg_temp.row('a', 9))),
    'diverged: version 9 is given, but version 8 was written here', 'the answer has the facts'
);
SELECT is(arvo_v1.cleanup_state('a'), true, 'it is removed here');
SELECT is(pg_temp.import(pg_temp.row('a', 9)), 'a present gone', 'and does not come back');

SELECT is(arvo_v1.write_state('own', '{"n": 1}'), 1::bigint, 'one that was begun here');
SELECT is(pg_temp.import(pg_temp.row('own', 1)), 'own present 1', 'the same there');
SELECT is(pg_temp.import(pg_temp.row('own', 2)), 'own refused diverged 1', 'another one there');

-- Trees.
SELECT is(
    pg_temp.import('[
        {"subject": "leaf", "version": 1, "data": {"parentSubject": "twig"}, "root_subject": "leaf"},
        {"subject": "twig", "version": 1, "data": {}, "parent_subject": "stem", "root_subject": "twig"},
        {"subject": "stem", "version": 3, "data": {}, "root_subject": "stem"},
        {"subject": "orphan", "version": 1, "data": {}, "parent_subject": "lost", "root_subject": "stem",
         "parent_is_known": false},
        {"subject": "strayed", "version": 1, "data": {}, "parent_subject": "gone", "root_subject": "strayed",
         "parent_is_known": false},
        {"subject": "bare", "parent_subject": "stem"}
    ]'),
    'leaf taken 1, twig taken 1, stem taken 3, orphan taken 1, strayed taken 1, bare placed',
    'children may come before their parents'
);
SELECT is(arvo_v1.root_subject('leaf'), 'stem', 'the root is found by the parents, whatever was written down');
SELECT is(arvo_v1.root_subject('orphan'), 'stem', 'one whose parent is lost keeps the root that was written down');
SELECT is(arvo_v1.root_subject('strayed'), 'gone', 'unless that is itself: then its parent is all that is known');
SELECT is(arvo_v1.root_subject('bare'), 'stem', 'a place without a state');

-- Locks.
SELECT is(
    pg_temp.import(pg_temp.row('held', 2, '{"locked_for": 30.5}')), 'held refused locked',
    'one that is being worked on is refused'
);
SELECT is(
    pg_temp.import(pg_temp.row('held', 2, '{"locked_for": 30.5}'), 'carry'), 'held taken 2', 'or taken with its lock'
);
SELECT results_eq(
    'SELECT subject, expires_at FROM arvo.state_lock',
    $$ VALUES ('held', timestamptz '2030-01-01 00:00:30.5Z') $$, 'which lapses when it would have there'
);
SELECT is(
    pg_temp.import(pg_temp.row('free', 2, '{"locked_for": 30.5}') || '[{"subject": "first", "locked_for": 5}, 7]', 'ignore'),
    'free taken 2, first placed, refused row', 'or taken without; what is no row spoils nothing'
);

-- refusals --------------------------------------------------------------------------------------

SELECT results_eq(
    $$ SELECT pg_temp.raised(format('SELECT arvo_v1.import_states(%s)', arguments))
       FROM (VALUES (1, '''{}'''), (2, 'NULL'), (3, '''[]'', ''maybe''')) AS given (n, arguments) ORDER BY n $$,
    $$ VALUES ('RV006 | argument is not valid | rows | argument: rows'),
              ('RV006 | argument is not valid | rows | argument: rows'),
              ('RV006 | argument is not valid | locked | argument: locked') $$,
    'arguments have their rules'
);

SELECT * FROM finish();
ROLLBACK;
