-- arvo_v1.check_in(worker, queues, rhythm, details): contract, stories, refusals.
BEGIN;
SELECT plan(19);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo_v1.check_in(text,text[],interval,jsonb)',
    'boolean', 'plpgsql', 'volatile', true,
    'arvo_worker'
);

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
CREATE FUNCTION pg_temp.seen() RETURNS text
LANGUAGE sql AS $$
    SELECT string_agg(format('%s: %s, since %s, seen %s', worker, queues, to_char(started_at AT TIME ZONE 'UTC', 'MI:SS'), to_char(seen_at AT TIME ZONE 'UTC', 'MI:SS')), '; ')
    FROM arvo.worker
$$;
SELECT is(arvo_v1.check_in('w', '{a}'), false, 'a new one is not known');
SELECT is(pg_temp.seen(), 'w: {a}, since 00:00, seen 00:00', 'now it is');
SET arvo.frozen_clock = '2030-01-01T00:00:04Z';
SELECT is(arvo_v1.check_in('w', '{a}'), true, 'it is known');
SELECT is(pg_temp.seen(), 'w: {a}, since 00:00, seen 00:00', 'too soon to write that down again');
SELECT arvo_v1.check_in('w', '{a,b}') \gset
SELECT is(pg_temp.seen(), 'w: {a,b}, since 00:00, seen 00:04', 'unless there is something new');
SET arvo.frozen_clock = '2030-01-01T00:00:09Z';
SELECT is(arvo_v1.check_in('w', '{a,b}'), true, 'half a rhythm later');
SELECT is(pg_temp.seen(), 'w: {a,b}, since 00:00, seen 00:09', 'it is written');
SET arvo.frozen_clock = '2030-01-01T00:00:39Z';
SELECT is(arvo_v1.check_in('w', '{a,b}'), false, 'after three rhythms it had counted as dead');

-- refusals --------------------------------------------------------------------------------------

SELECT is(pg_temp.raised($$ SELECT arvo_v1.check_in('', '{a}') $$), 'RV006 | argument is not valid | worker | worker "", 1 queues, rhythm 00:00:10', 'no name');
SELECT matches(pg_temp.raised($$ SELECT arvo_v1.check_in('w', NULL) $$), '^RV006 \| argument is not valid \| queues', 'no queues');
SELECT matches(pg_temp.raised($$ SELECT arvo_v1.check_in('w', '{}', '0') $$), '^RV006 \| argument is not valid \| rhythm', 'no rhythm');
SELECT matches(pg_temp.raised($$ SELECT arvo_v1.check_in('w', '{}', '1 second', '[]') $$), '^RV006 \| argument is not valid \| details', 'no object');

SELECT * FROM finish();
ROLLBACK;
