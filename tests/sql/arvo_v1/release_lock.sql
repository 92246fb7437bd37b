-- arvo_v1.release_lock(subject, token, durable): contract, stories, refusals.
BEGIN;
SELECT plan(21);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo_v1.release_lock(text,bigint,boolean)',
    'boolean', 'plpgsql', 'volatile', true,
    'arvo_worker'
);

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
SELECT token AS first FROM arvo_v1.acquire_lock('order-1', '10 seconds') \gset
SELECT token AS other FROM arvo_v1.acquire_lock('order-2', '10 seconds') \gset
SELECT ok(arvo_v1.release_lock('order-1', :first), 'the holder gives it back');
SELECT results_eq(
    'SELECT subject FROM arvo.state_lock', $$ VALUES ('order-2') $$, 'and only that one'
);
SELECT is(arvo_v1.release_lock('order-1', :first), false, 'once');
SELECT token AS second FROM arvo_v1.acquire_lock('order-1', '10 seconds') \gset
SELECT cmp_ok(:second::bigint, '>', :first::bigint, 'then it is free for the next, under a greater token');

-- refusals --------------------------------------------------------------------------------------

SELECT is(arvo_v1.release_lock('order-1', :first), false, 'the stale token removes nothing');
SELECT is(arvo_v1.release_lock('order-1', :other), false, 'nor does that of another subject');
SELECT is(arvo_v1.release_lock('order-1', NULL), false, 'nor no token');
SELECT is(arvo_v1.release_lock(NULL, :second), false, 'nor no subject');
SELECT is((SELECT count(*) FROM arvo.state_lock), 2::bigint, 'both locks are held still');
SET arvo.frozen_clock = '2030-01-01T01:00:00Z';
SELECT ok(
    arvo_v1.release_lock('order-1', :second), 'a lapsed lock that nobody took is still its holder''s to remove'
);

-- stories: durable or not

SET synchronous_commit = 'on';
COMMIT AND CHAIN;
SELECT is(arvo_v1.release_lock('nobody', 1, NULL), false, 'nothing to release');
SELECT is(current_setting('synchronous_commit'), 'on', 'a release is durable');
COMMIT AND CHAIN;
SELECT arvo_v1.release_lock('nobody', 1, false) AS released \gset
SELECT is(:'released'::boolean, false, 'nothing to release');
SELECT is(current_setting('synchronous_commit'), 'off', 'unless it is a transaction of its own, and says so');

SELECT * FROM finish();
ROLLBACK;
