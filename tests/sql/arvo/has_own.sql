-- arvo.has_own(queues): contract, stories.
BEGIN;
SELECT plan(14);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.has_own(text[])',
    'boolean', 'plpgsql', 'stable', false,
    'nobody',
    ARRAY['search_path=pg_catalog, pg_temp', 'enable_seqscan=off']
);

-- stories ---------------------------------------------------------------------------------------

SELECT is(arvo.has_own('{a}'), false, 'a transaction without a number has appended nothing');
DO $$
BEGIN
    PERFORM arvo_v1.register_queue('a');
    PERFORM arvo_v1.register_queue('b');
    PERFORM arvo_v1.dispatch(pg_temp.event('1', 'a'));
    PERFORM arvo_v1.dispatch(pg_temp.event('2', 'b', '{"domain": "human.x"}'));
    PERFORM arvo_v1.dispatch(pg_temp.event('3', 'b'), '1 hour');
END;
$$;
SELECT is(arvo.has_own('{b,a}'), true, 'what it has dispatched is its own');
SELECT is(arvo.has_own('{b}'), false, 'in the queue where it went; what is deferred is not there yet');
SELECT is(arvo.has_own('{b,arvo.domain.*}'), true, 'a star stands for every queue that begins so');
SELECT is(arvo.has_own('{nobody}'), false, 'an unknown queue has nothing');
COMMIT AND CHAIN;
SELECT is(arvo.has_own('{a}'), false, 'after its commit it is no longer its own');
DO $$ BEGIN PERFORM arvo_v1.register_queue('c'); END; $$;
SELECT is(arvo.has_own('{a,b,c}'), false, 'a transaction that has written something else has nothing either');

SELECT * FROM finish();
ROLLBACK;
