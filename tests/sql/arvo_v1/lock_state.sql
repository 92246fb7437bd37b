-- arvo_v1.lock_state(subject, ttl, durable): contract, stories, refusals.
BEGIN;
SELECT plan(16);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo_v1.lock_state(text,interval,boolean)',
    'SETOF arvo_v1.locked_state', 'plpgsql', 'volatile', true,
    'arvo_worker'
);

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
SELECT results_eq(
    $$ SELECT subject, expires_at, version, data FROM arvo_v1.lock_state('order-1', '10 seconds') $$,
    $$ VALUES ('order-1', timestamptz '2030-01-01 00:00:10Z', 0::bigint, NULL::jsonb) $$,
    'a free lock is taken; there is no state'
);
SELECT is_empty($$ SELECT * FROM arvo_v1.lock_state('order-1') $$, 'a held one is not');
SELECT is_empty($$ SELECT * FROM arvo_v1.acquire_lock('order-1') $$, 'it is the same lock');
DO $$ BEGIN PERFORM arvo_v1.write_state('order-1', '{"n": 1}'), arvo_v1.write_state('order-1', '{"n": 2}', 1); END; $$;
SET arvo.frozen_clock = '2030-01-01T00:00:10Z';
SELECT version, data, token FROM arvo_v1.lock_state('order-1') \gset
SELECT is(ARRAY[:'version', :'data'], '{2,"{\"n\": 2}"}', 'it comes with the state, when it has lapsed and is taken over');
SELECT is(
    (SELECT (token, expires_at) FROM arvo.state_lock WHERE subject = 'order-1'),
    (:token::bigint, timestamptz '2030-01-01 00:02:10Z'), 'two minutes are the default'
);
SELECT is(arvo_v1.write_state('order-1', '{"n": 3}', :version, p_lock => :token), 3::bigint, 'its token is good for a write');
SELECT is(arvo_v1.release_lock('order-1', :token), true, 'and for the release');
SET synchronous_commit = 'on';
COMMIT AND CHAIN;
SELECT version FROM arvo_v1.lock_state('order-1', p_durable => false) \gset
SELECT is(current_setting('synchronous_commit') || ' ' || :version, 'off 3', 'one of its own need not be durable');
COMMIT AND CHAIN;

-- refusals --------------------------------------------------------------------------------------

SELECT is(
    pg_temp.raised($$ SELECT * FROM arvo_v1.lock_state('', '1 second') $$),
    'RV006 | argument is not valid | subject | ttl: 00:00:01', 'an empty subject'
);

SELECT * FROM finish();
ROLLBACK;
