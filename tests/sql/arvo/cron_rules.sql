-- arvo.cron_rules(cron, gap, overlap): contract, stories, refusals.
BEGIN;
SELECT plan(18);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.cron_rules(arvo.cron,text,text)',
    'text[]', 'plpgsql', 'immutable', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SELECT is(arvo.cron_rules(arvo.cron_parse(cron), gap, overlap), expected, concat_ws(' ', cron, gap, overlap))
FROM (
    VALUES
    ('30 2 * * *', NULL, NULL, '{shift,first}'::text[]),
    ('* 2 * * *', NULL, NULL, '{shift,first}'),
    ('0 */2 * * *', NULL, NULL, '{shift,first}'),
    ('0 * * * *', NULL, NULL, '{skip,both}'),
    ('*/5 * * * * *', NULL, NULL, '{skip,both}'),
    ('0 0-23 * * mon', NULL, NULL, '{skip,both}'),
    ('0 * * * *', 'shift', 'first', '{shift,first}'),
    ('30 2 * * *', 'skip', NULL, '{skip,first}'),
    ('30 2 * * *', NULL, 'second', '{shift,second}')
) AS given (cron, gap, overlap, expected);

-- refusals --------------------------------------------------------------------------------------

SELECT is(
    pg_temp.raised($$ SELECT arvo.cron_rules(arvo.cron_parse('@daily'), 'later', NULL) $$),
    'RV006 | argument is not valid | gap | gap: "later"', 'no such gap'
);
SELECT is(
    pg_temp.raised($$ SELECT arvo.cron_rules(arvo.cron_parse('@daily'), NULL, 'never') $$),
    'RV006 | argument is not valid | overlap | overlap: "never"', 'no such overlap'
);

SELECT * FROM finish();
ROLLBACK;
