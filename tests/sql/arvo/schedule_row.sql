-- arvo.schedule_row(schedule, change): contract, stories.
BEGIN;
SELECT plan(9);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.schedule_row(arvo.schedule,text)',
    'arvo_v1.schedule', 'sql', 'immutable', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
SELECT arvo_v1.schedule('tick', '0 9 * * *', '{"type": "com.test.tick", "source": "/clock", "data": {}}') \g /dev/null
UPDATE arvo.schedule
SET paused_by = 'pausedby', last_at = '2029-01-01Z', last_delivery = 7, last_outcome = 'lastoutcome', fires = 8,
    missed_from = '2029-02-01Z', missed_to = '2029-03-01Z', error = '"error"', error_at = '2029-04-01Z', failures = 9,
    changed_at = '2029-05-01Z', changed_by = 'changedby', options = '{"a": 1}';
SELECT is(
    (SELECT to_jsonb(shown) - 'change' FROM arvo.schedule AS known CROSS JOIN LATERAL arvo.schedule_row(known, 'x') AS shown),
    (SELECT to_jsonb(known) - '{schedule,fields}'::text[] FROM arvo.schedule AS known),
    'every column of the table under its own name, except its number and what the cron text was read as'
);
SELECT is(
    (SELECT (arvo.schedule_row(known, 'x')).change FROM arvo.schedule AS known), 'x', 'and what was done'
);

SELECT * FROM finish();
ROLLBACK;
