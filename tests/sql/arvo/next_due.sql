-- arvo.next_due(): contract, stories.
BEGIN;
SELECT plan(22);
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

COMMIT AND CHAIN;

-- stories: schedules

SELECT arvo_v1.schedule('tick', '* * * * *', '{"type": "com.test.tick", "source": "/clock", "data": {}}') \g /dev/null
SELECT is(arvo.next_due(), interval '30 seconds', 'a schedule counts as well');
SELECT arvo_v1.dispatch(pg_temp.event('3', 'com.test.sink'), '40 seconds') \gset
SELECT is(arvo.next_due(), interval '30 seconds', 'before what is deferred');
SELECT arvo_v1.dispatch(pg_temp.event('4', 'com.test.sink'), '20 seconds') \gset
SELECT is(arvo.next_due(), interval '20 seconds', 'or behind it');
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T00:00:59.9Z';
SELECT is(arvo.promote(), 1, 'when that is promoted');
SELECT is(arvo.next_due(), interval '100 milliseconds', 'the schedule is next, to the moment');
SET arvo.frozen_clock = '2030-01-01T00:01:00Z';
SELECT is(arvo.next_due(), interval '250 milliseconds', 'a fire that is due and was not fired is somebody else''s: no hurry');

SELECT * FROM finish();
ROLLBACK;
