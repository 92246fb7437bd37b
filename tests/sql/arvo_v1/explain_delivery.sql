-- arvo_v1.explain_delivery(delivery): contract, stories.
BEGIN;
SELECT plan(21);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo_v1.explain_delivery(bigint)',
    'SETOF arvo_v1.explanation', 'plpgsql', 'volatile', true,
    'arvo_monitor, arvo_operator, arvo_worker',
    ARRAY[
        'search_path=pg_catalog, pg_temp',
        'enable_seqscan=off',
        'jit=off'
    ]
);

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
CREATE FUNCTION pg_temp.told(p_delivery bigint) RETURNS text
LANGUAGE sql AS $$
    SELECT string_agg(concat_ws(' | ', event_id, queue, place, reason), '; ') FROM arvo_v1.explain_delivery(p_delivery)
$$;
SELECT is((SELECT detail FROM arvo_v1.explain_delivery(1)), 'No delivery has had that number yet.', 'a number from the future');
DO $$
BEGIN
    PERFORM arvo_v1.register_queue('q', p_retry_limit => 0, p_dead_letter => 'morgue');
    PERFORM arvo_v1.check_in('w', '{q}');
    PERFORM arvo_v1.dispatch(pg_temp.event('1', 'q'));
    PERFORM arvo_v1.dispatch(pg_temp.event('2', 'q'), '10 seconds');
    PERFORM arvo_v1.dispatch(pg_temp.event('3', 'q'));
    PERFORM arvo_v1.dispatch(pg_temp.event('4', 'nobody'));
    PERFORM nextval('arvo.delivery_number');
END;
$$;
COMMIT AND CHAIN;
SELECT is(pg_temp.told(1), '1 | q | logged | next', 'nothing holds it');
SELECT is(pg_temp.told(3), '3 | q | logged | behind', 'somebody is before it');
SELECT is(pg_temp.told(2), '2 | q | deferred | deferred', 'put off');
SELECT is((SELECT until FROM arvo_v1.explain_delivery(2)), '2030-01-01T00:00:10Z'::timestamptz, 'until then');
SELECT is(pg_temp.told(4), '4 | nobody | logged | unroutable', 'nobody is there for it');
SELECT is(pg_temp.told(5), 'unknown | unknown', 'a number whose transaction never committed');
UPDATE arvo.queue SET paused_at = arvo.clock() WHERE name = 'q';
SELECT is(pg_temp.told(3), '3 | q | logged | behind; 3 | q | logged | paused', 'every reason is told');
UPDATE arvo.queue SET paused_at = NULL;
SET arvo.frozen_clock = '2030-01-01T00:00:10Z';
SELECT is(pg_temp.told(2), '2 | q | deferred | promotion', 'due, and not promoted yet');
CREATE TEMPORARY TABLE held AS SELECT * FROM arvo_v1.claim('{q}', 1);
COMMIT AND CHAIN;
SELECT is(pg_temp.told(1), '1 | q | leased | leased', 'somebody has it');
SELECT count(*) FROM arvo_v1.settle((SELECT jsonb_agg(pg_temp.result(lease, delivery, 'failed')) FROM held)) \gset
COMMIT AND CHAIN;
SELECT is(pg_temp.told(1), '1 | q | closed | closed; 1 | q | closed | dead; 1 | q | closed | again', 'it died, and was delivered to the dead-letter queue');
SELECT is(pg_temp.told(6), '1 | morgue | logged | next', 'which nobody need consume');
DELETE FROM arvo.log;
SELECT is(pg_temp.told(1), '1 | q | dead | dead', 'a dead letter outlives the log');
SELECT is(pg_temp.told(3), 'unknown | unknown', 'others do not');

SELECT * FROM finish();
ROLLBACK;
