-- arvo.note_key(number, queue, key, window, delivery, now): contract, stories.
BEGIN;
SELECT plan(20);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.note_key(bigint,integer,bytea,interval,bigint,timestamptz)',
    'boolean', 'plpgsql', 'volatile', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

-- An hour of memory; the key is that of its text.
CREATE FUNCTION pg_temp.note(
    p_number bigint, p_key text, p_delivery bigint, p_at timestamptz DEFAULT '2030-01-01T00:00:00Z', p_queue integer DEFAULT 7
) RETURNS boolean
LANGUAGE sql AS $$
    SELECT arvo.note_key(p_number, p_queue, convert_to(p_key, 'UTF8'), '1 hour', p_delivery, p_at)
$$;
CREATE FUNCTION pg_temp.stored(p_key text) RETURNS text
LANGUAGE sql AS $$
    SELECT string_agg(format('%s:%s', slot, delivery), ' ' ORDER BY slot)
    FROM arvo.event_key WHERE key = convert_to(p_key, 'UTF8') AND queue = 7
$$;

SELECT ok(pg_temp.note(0, 'a', 1), 'a key that is new');
SELECT ok(NOT pg_temp.note(0, 'a', 2), 'the same again');
SELECT is(pg_temp.stored('a'), '0:1', 'its first delivery is kept');
SELECT ok(pg_temp.note(0, 'a', 3, p_queue => 8), 'of another queue it is another one');

-- the partition before is looked at, whichever it is
SELECT ok(NOT pg_temp.note(1, 'a', 4), 'known in partition 0: not new in 1');
SELECT ok(pg_temp.note(1, 'b', 5), 'new in 1');
SELECT ok(NOT pg_temp.note(2, 'b', 6), 'known in 1: not new in 2');
SELECT ok(pg_temp.note(2, 'c', 7), 'new in 2');
SELECT ok(NOT pg_temp.note(3, 'c', 8), 'known in 2: not new in 0');
SELECT is(
    ARRAY[pg_temp.stored('a'), pg_temp.stored('b'), pg_temp.stored('c')], '{0:1,1:5,2:7}',
    'and what is known is written nowhere else'
);

-- the edge of the window
SELECT ok(NOT pg_temp.note(3, 'a', 9, '2030-01-01T00:59:59.999999Z'), 'a microsecond before its end');
SELECT ok(pg_temp.note(3, 'a', 10, '2030-01-01T01:00:00Z'), 'at its end it is new again');
SELECT is(
    ARRAY[pg_temp.stored('a'), pg_temp.note(1, 'a', 11, '2030-01-01T02:00:00Z')::text, pg_temp.stored('a')],
    '{0:10,true,"0:10 1:11"}', 'under the same key, or in the next partition'
);

SELECT * FROM finish();
ROLLBACK;
