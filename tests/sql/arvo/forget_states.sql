-- arvo.forget_states(look, limit): contract, stories.
BEGIN;
SELECT plan(33);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.forget_states(integer, integer)',
    'integer', 'plpgsql', 'volatile', false,
    'nobody',
    ARRAY[
        'search_path=pg_catalog, pg_temp',
        'enable_seqscan=off',
        'enable_bitmapscan=off',
        'enable_hashjoin=off',
        'enable_mergejoin=off',
        'jit=off'
    ]
);

-- stories ---------------------------------------------------------------------------------------

CREATE FUNCTION pg_temp.subjects() RETURNS text
LANGUAGE sql AS $$
    SELECT coalesce(string_agg(subject, ' ' ORDER BY subject COLLATE "C"), 'none') FROM arvo.state
$$;
CREATE FUNCTION pg_temp.write(p_subject text, p_data jsonb, p_parent text DEFAULT NULL, p_source text DEFAULT 'flow')
RETURNS void
LANGUAGE sql AS $$ SELECT arvo_v1.write_state(p_subject, p_data, 0, p_parent, 'com.test', p_source) $$;
-- A whole round, and the call that begins the next one.
CREATE FUNCTION pg_temp.round() RETURNS integer
LANGUAGE sql AS $$ SELECT sum(arvo.forget_states(1000, 200))::integer FROM generate_series(1, 2) $$;

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
DO $$
BEGIN
    PERFORM arvo_v1.register_queue('flow', p_stateful => true, p_retry_limit => 0);
    PERFORM pg_temp.write('root', '{"status": "done"}');
    PERFORM pg_temp.write('child', '{"status": "active"}', 'root');
    PERFORM pg_temp.write('failed', '{"executionStatus": "failure"}');
    PERFORM pg_temp.write('other', '{"status": "done"}', NULL, 'com.other');
    PERFORM pg_temp.write('own record', '{"mine": true}');
END;
$$;
SET arvo.frozen_clock = '2031-01-01T00:00:00Z';
SELECT is(pg_temp.round(), 0, 'without a rule states are kept for ever');

SELECT count(*) AS rules FROM arvo_v1.retain_states('flow', '1 day') \gset
SET arvo.frozen_clock = '2030-01-01T23:59:59.999999Z';
SELECT is(pg_temp.round(), 0, 'one microsecond early nothing is old enough');
SET arvo.frozen_clock = '2030-01-02T00:00:00Z';
SELECT is(pg_temp.round(), 2, 'exactly then what is done or has failed goes');
SELECT is(pg_temp.subjects(), 'child other own record', 'not what runs, nor other handlers'', nor records of another shape');
SELECT is(arvo_v1.root_subject('child'), 'root', 'what descends from it keeps its root');
SELECT is(arvo_v1.root_subject('failed'), NULL, 'what nothing descends from has no place any more');

SELECT count(*) AS rules FROM arvo_v1.retain_states(NULL, '10 days') \gset
SET arvo.frozen_clock = '2030-01-11T00:00:00Z';
SELECT is(pg_temp.round(), 1, 'a rule for all is for those that have none of their own');
SELECT is(pg_temp.subjects(), 'child own record', 'each handler by its rule');

SELECT arvo_v1.write_state('child', '{"status": "done"}', 1, NULL, 'com.test', 'flow') \gset
SET arvo.frozen_clock = '2030-01-11T23:59:59Z';
SELECT is(pg_temp.round(), 0, 'the age counts from the last write');

-- What is still to come to the workflow keeps its state.
SET arvo.frozen_clock = '2030-01-20T00:00:00Z';
SELECT outcome FROM arvo_v1.dispatch(pg_temp.event('e1', 'flow', '{"subject": "child"}')) \gset
SELECT is(pg_temp.round(), 0, 'something waits for it');
COMMIT AND CHAIN;
SELECT lease, delivery FROM arvo_v1.claim('{flow}') \gset
COMMIT AND CHAIN;
SELECT is(pg_temp.round(), 0, 'its handler runs');
SELECT outcome FROM arvo_v1.settle(jsonb_build_array(pg_temp.result(:lease, :delivery, 'snoozed', '{"after": 60}'))) \gset
COMMIT AND CHAIN;
SELECT is(pg_temp.round(), 0, 'something is put off');
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-20T00:02:00Z';
SELECT sum(touched) AS promoted FROM arvo_v1.maintain() \gset
COMMIT AND CHAIN;
SELECT lease, delivery FROM arvo_v1.claim('{flow}') \gset
COMMIT AND CHAIN;
SELECT outcome FROM arvo_v1.settle(jsonb_build_array(
    pg_temp.result(:lease, :delivery, 'rejected', '{"error": {"message": "no"}}')
)) \gset
COMMIT AND CHAIN;
SELECT is(pg_temp.round(), 0, 'a dead letter may be redriven');
SELECT count(*) AS discarded FROM arvo_v1.discard('flow') \gset
SELECT token FROM arvo_v1.acquire_lock('child', '10 seconds') \gset
SELECT is(pg_temp.round(), 0, 'somebody holds its lock');
SET arvo.frozen_clock = '2030-01-20T00:02:10Z';
SELECT is(pg_temp.round(), 1, 'nothing holds it any more');
SELECT is_empty('SELECT FROM arvo.state_lock', 'a lock that has lapsed goes with it');
SELECT is(arvo_v1.root_subject('child'), NULL, 'so does its place');
SELECT is(arvo_v1.root_subject('root'), NULL, 'and that of its parent, which only it needed');

-- What is closed to whoever maintains is there all the same.
SET arvo.frozen_clock = '2030-01-20T01:00:00Z';
CREATE ROLE arvo_test_forget_worker NOLOGIN IN ROLE arvo_worker;
CREATE ROLE arvo_test_forget_boss NOLOGIN;
DO $$
BEGIN
    PERFORM pg_temp.write('closed', '{"status": "done"}');
    PERFORM arvo_v1.dispatch(pg_temp.event('e2', 'flow', '{"subject": "closed"}'));
    PERFORM arvo_v1.grant_queue('flow', 'arvo_test_forget_boss', '{operate}');
END;
$$;
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-25T00:00:00Z';
SELECT sum(pg_temp.as_role(
    'arvo_test_forget_worker',
    $$ SELECT touched FROM arvo_v1.maintain() WHERE task = 'forgotten' $$
)::integer) AS gone FROM generate_series(1, 2) \gset
SELECT is(:gone, 0, 'what waits in a queue that the caller may not operate keeps its state');
COMMIT AND CHAIN;
SELECT count(*) AS cancelled FROM arvo_v1.cancel(p_event_id => 'e2') \gset
COMMIT AND CHAIN;
SELECT is(pg_temp.round(), 1, 'when it is cancelled the state goes');
SELECT count(*) AS opened FROM arvo_v1.grant_queue('flow', 'public', '{operate}') \gset
DROP ROLE arvo_test_forget_worker, arvo_test_forget_boss;
COMMIT AND CHAIN;

-- In bites.
SET arvo.frozen_clock = '2030-02-01T00:00:00Z';
DO $$
BEGIN
    PERFORM pg_temp.write('many ' || number, '{"status": "done"}') FROM generate_series(1, 9) AS number;
END;
$$;
SET arvo.frozen_clock = '2030-03-01T00:00:00Z';
SELECT is(arvo.forget_states(4, 200) <= 4, true, 'a call looks at no more than so many');
DO $$
BEGIN
    PERFORM arvo.forget_states(4, 2) FROM generate_series(1, 12);
END;
$$;
SELECT is(pg_temp.subjects(), 'own record', 'the round comes to all of them');
SELECT is((SELECT count(*) FROM arvo.state_round), 1::bigint, 'and is one row');

-- Marks of imports.
DO $$
BEGIN
    PERFORM arvo_v1.import_states('[{"subject": "taken", "data": {}, "version": 1}]');
END;
$$;
SET arvo.frozen_clock = '2030-05-29T23:59:59Z';
SELECT is((SELECT count(*) FROM arvo.import_mark), 1::bigint, 'there is a mark');
SELECT arvo.forget_states(10, 10) AS gone \gset
SELECT is((SELECT count(*) FROM arvo.import_mark), 1::bigint, 'which stays for ninety days');
SET arvo.frozen_clock = '2030-05-30T00:00:00Z';
SELECT arvo.forget_states(10, 10) AS gone \gset
SELECT is_empty('SELECT FROM arvo.import_mark', 'and then goes');

SELECT * FROM finish();
ROLLBACK;
