-- arvo.first_of(log row): contract, stories.
BEGIN;
SELECT plan(11);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.first_of(arvo.log)',
    'bigint', 'sql', 'immutable', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

CREATE FUNCTION pg_temp.entry(p_origin bigint, p_cause jsonb) RETURNS arvo.log
LANGUAGE plpgsql AS $$
DECLARE v_entry arvo.log;
BEGIN
    v_entry.delivery := 3; v_entry.origin_delivery := p_origin; v_entry.cause := p_cause;
    RETURN v_entry;
END
$$;
SELECT is(arvo.first_of(pg_temp.entry(NULL, NULL)), 3::bigint, 'the first delivery itself');
SELECT is(arvo.first_of(pg_temp.entry(2, '{"outcome": "failed"}')), 2::bigint, 'a further one names it');
SELECT is(arvo.first_of(pg_temp.entry(NULL, '{"first": 1}')), 1::bigint, 'one whose event was written again');
SELECT is(arvo.first_of(pg_temp.entry(2, '{"first": 1}')), 1::bigint, 'one that refers to that');

SELECT * FROM finish();
ROLLBACK;
