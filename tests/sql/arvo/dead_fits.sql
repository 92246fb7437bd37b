-- arvo.dead_fits(dead letter, filter): contract, stories.
BEGIN;
SELECT plan(52);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.dead_fits(arvo.dead,arvo.dead_filter)',
    'boolean', 'plpgsql', 'stable', false,
    'nobody'
);

-- One dead letter, asked about by a filter with the members named.
CREATE FUNCTION pg_temp.fits(p_filter jsonb, p_dead_letter text DEFAULT 'morgue', p_error jsonb DEFAULT '{"message": "No Room"}')
RETURNS boolean
LANGUAGE sql AS $$
    SELECT arvo.dead_fits(
        jsonb_populate_record(NULL::arvo.dead, jsonb_build_object(
            'dead', 7, 'queue', 'q', 'dead_letter', p_dead_letter, 'reason', 'failed', 'died_at', '2030-01-01T00:00:00Z', 'error', p_error,
            'event', pg_temp.event('e1', 'q', '{"data": {"amount": 7, "flag": false, "at": "2030-01-01", "say": "he said \"Hi\"\n50%_x"}}')
        )),
        jsonb_populate_record(NULL::arvo.dead_filter, p_filter)
    )
$$;

-- stories ---------------------------------------------------------------------------------------

SELECT is(pg_temp.fits(asked.filter::jsonb), asked.fits, asked.why)
FROM (VALUES
    ('{}', true, 'nothing is asked'),
    ('{"dead": [6, 7]}', true, 'one of these numbers'),
    ('{"dead": [6]}', false, 'another number'),
    ('{"dead": []}', false, 'no number'),
    ('{"queue": "q"}', true, 'the queue it failed in'),
    ('{"queue": "morgue"}', true, 'the queue that received it'),
    ('{"queue": "other"}', false, 'another queue'),
    ('{"reason": "failed"}', true, 'the reason'),
    ('{"reason": "rejected"}', false, 'another reason'),
    ('{"since": "2030-01-01T00:00:00Z"}', true, 'died then'),
    ('{"since": "2030-01-01T00:00:01Z"}', false, 'or earlier'),
    ('{"before": "2030-01-01T00:00:01Z"}', true, 'died before that'),
    ('{"before": "2030-01-01T00:00:00Z"}', false, 'not before then'),
    ('{"event_type": "com.test.event"}', true, 'the type'),
    ('{"event_type": "com.test"}', false, 'another type'),
    ('{"subject": "order-1"}', true, 'the subject'),
    ('{"subject": "order-2"}', false, 'another subject'),
    ('{"queue": "q", "reason": "rejected"}', false, 'one of two conditions'),
    ('{"queue": "q", "reason": "failed"}', true, 'both of two conditions')
) AS asked (filter, fits, why);
SELECT is(pg_temp.fits('{"queue": "other"}', NULL), false, 'no dead-letter queue, another queue');
SELECT is(pg_temp.fits('{"queue": "q"}', NULL), true, 'no dead-letter queue, its own');

SELECT is(pg_temp.fits(jsonb_build_object('path', asked.path)), asked.fits, asked.path)
FROM (VALUES
    ('$.data.amount', true),
    ('$.data.missing', false),
    ('$.data.flag', true),
    ('$.data ? (@.amount > 5)', true),
    ('$.data ? (@.amount > 7)', false),
    ('$.data.amount == 7', true),
    ('$.data.amount > 7', false),
    ('$.data.missing > 7', false),
    ('$.data.flag == true', false),
    ('$.data.amount > "x"', false),
    ('strict $.nowhere.at.all', false),
    ('$.data.at.datetime() < "2031-01-01T00:00:00+00:00".datetime()', true),
    ('exists($.data.say)', true),
    ('$.to like_regex "^Q$" flag "i"', true)
) AS asked (path, fits);

SELECT is(pg_temp.fits(jsonb_build_object('contains', asked.words)), asked.fits, asked.why)
FROM (VALUES
    ('"amount": 7', true, 'as it stands'),
    ('he said "hi"', true, 'as JSON writes it, in upper or lower case'),
    (E'"Hi"\n50', true, 'over two lines'),
    ('50%_X', true, 'signs mean themselves'),
    ('5%x', false, 'and nothing else'),
    ('no room', true, 'in the error'),
    ('nowhere', false, 'nowhere'),
    ('\', true, 'a single backslash: JSON has some')
) AS asked (words, fits, why);
SELECT is(pg_temp.fits('{"contains": "he said"}', 'morgue', NULL), true, 'without an error there is the event');
SELECT is(pg_temp.fits('{"contains": "no room"}', 'morgue', NULL), false, 'only');

SELECT * FROM finish();
ROLLBACK;
