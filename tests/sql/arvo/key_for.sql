-- arvo.key_for(queue, log row): contract, a table of cases.
BEGIN;
SELECT plan(15);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.key_for(arvo.queue,arvo.log)',
    'bigint', 'sql', 'immutable', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SELECT is(
    arvo.key_for(
        jsonb_populate_record(NULL::arvo.queue, jsonb_build_object('policy', given.policy)),
        jsonb_populate_record(NULL::arvo.log, jsonb_build_object('key', given.own, 'subject_key', given.subject))
    ),
    given.key, given.about
)
FROM (
    VALUES
    ('standard', 77::bigint, 5::bigint, 77::bigint, 'its own key'),
    ('ordered', 77, 5, 77, 'its own, also in an ordered queue'),
    ('ordered', NULL, 5, 5, 'ordered: else its subject'),
    ('ordered', NULL, 0, 1, 'ordered: 0 is left to the queue as a whole'),
    ('standard', NULL, 5, 1, 'else the one that all share'),
    ('exclusive', NULL, 5, 1, 'the one that all share: exclusive'),
    ('singleton', NULL, 0, 1, 'the one that all share: singleton'),
    ('ordered', -1, 0, -1, 'a negative number is a number')
) AS given (policy, own, subject, key, about);

SELECT * FROM finish();
ROLLBACK;
