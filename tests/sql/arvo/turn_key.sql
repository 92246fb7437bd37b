-- arvo.turn_key(queue, key, subject_key): contract, stories.
BEGIN;
SELECT plan(11);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.turn_key(arvo.queue,bigint,bigint)',
    'bigint', 'sql', 'immutable', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

CREATE FUNCTION pg_temp.key(p_options jsonb, p_key bigint) RETURNS bigint
LANGUAGE sql AS $$ SELECT arvo.turn_key(jsonb_populate_record(NULL::arvo.queue, p_options), p_key, 5) $$;
SELECT is(pg_temp.key('{"policy": "ordered"}', 7), 7::bigint, 'its own key');
SELECT is(pg_temp.key('{"policy": "ordered"}', NULL), 5::bigint, 'in an ordered queue else its subject''s');
SELECT is(pg_temp.key('{"policy": "ordered", "key_from": "data.a"}', NULL), 0::bigint, 'unless the queue says where keys stand');
SELECT is(pg_temp.key('{"policy": "standard"}', NULL), 0::bigint, 'in others that of the whole queue');

SELECT * FROM finish();
ROLLBACK;
