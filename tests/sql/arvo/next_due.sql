-- arvo.next_due(): contract, stories.
BEGIN;
SELECT plan(16);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.next_due()',
    'interval', 'sql', 'volatile', false,
    'nobody',
    ARRAY[
        'search_path=pg_catalog, pg_temp',
        'enable_seqscan=off'
    ]
);

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
SELECT is(arvo.next_due(), NULL, 'nothing is deferred');
SELECT arvo_v1.dispatch(pg_temp.event('1', 'com.test.sink'), '30 seconds') \gset
SELECT arvo_v1.dispatch(pg_temp.event('2', 'com.test.sink'), '10 seconds') \gset
SELECT is(arvo.next_due(), interval '10 seconds', 'the earliest counts');
SET arvo.frozen_clock = '2030-01-01T00:00:09.999999Z';
SELECT is(arvo.next_due(), interval '1 microsecond', 'to the microsecond');
SET arvo.frozen_clock = '2030-01-01T00:00:20Z';
SELECT is(arvo.next_due(), interval '0', 'what is due already is never a negative time away');
COMMIT AND CHAIN;
SELECT is(arvo.promote(), 1, 'when it has been promoted');
SELECT is(arvo.next_due(), interval '10 seconds', 'the next one counts');
SET arvo.frozen_clock = '2030-01-01T00:00:30Z';
SELECT is(arvo.promote(), 1, 'and when all have been');
SELECT is(arvo.next_due(), NULL, 'there is none, though the rows are not swept away yet');
SELECT is((SELECT count(*) FROM arvo.deferred), 2::bigint, 'both of them');

SELECT * FROM finish();
ROLLBACK;
