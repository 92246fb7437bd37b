-- arvo.take_lock(subject, ttl, durable, now): contract, stories, refusals. Durability: see arvo_v1.acquire_lock.
BEGIN;
SELECT plan(17);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.take_lock(text,interval,boolean,timestamptz)',
    'bigint', 'plpgsql', 'volatile', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SELECT arvo.take_lock('order-1', '10 seconds', true, '2030-01-01T00:00:00Z') AS first \gset
SELECT results_eq(
    'SELECT token, subject, locked_at, expires_at FROM arvo.state_lock',
    format(
        $$ VALUES (%s::bigint, 'order-1', timestamptz '2030-01-01T00:00:00Z', timestamptz '2030-01-01T00:00:10Z') $$, :first
    ),
    'a free lock is taken, and its token told'
);
SELECT is(
    arvo.take_lock('order-1', '10 seconds', true, '2030-01-01T00:00:09.999999Z'), NULL, 'a held one is not'
);
SELECT is((SELECT token FROM arvo.state_lock), :first::bigint, 'and its holder has it as before');
SELECT arvo.take_lock('order-1', '1 second', true, '2030-01-01T00:00:10Z') AS second \gset
SELECT cmp_ok(:second::bigint, '>', :first::bigint, 'at the moment when its time is over it is another''s');
SELECT results_eq(
    'SELECT token, locked_at, expires_at FROM arvo.state_lock',
    format(
        $$ VALUES (%s::bigint, timestamptz '2030-01-01T00:00:10Z', timestamptz '2030-01-01T00:00:11Z') $$, :second
    ),
    'from then on'
);
SELECT isnt(
    arvo.take_lock('order-2', '1 second', true, '2030-01-01T00:00:10Z'), NULL, 'another subject has another lock'
);

-- refusals --------------------------------------------------------------------------------------

SELECT is(
    pg_temp.raised(format(
        $$ SELECT arvo.take_lock(%L, %L, true, '2030-01-01T00:00:00Z') $$, given.subject, given.ttl
    )),
    given.told, given.told
)
FROM (VALUES
    (NULL, '1 second', 'RV006 | argument is not valid | subject | ttl: 00:00:01'),
    ('', '1 second', 'RV006 | argument is not valid | subject | ttl: 00:00:01'),
    ('a', NULL, 'RV006 | argument is not valid | ttl | ttl: '),
    ('a', '30 days 1 microsecond', 'RV006 | argument is not valid | ttl | ttl: 30 days 00:00:00.000001')
) AS given (subject, ttl, told);

SELECT * FROM finish();
ROLLBACK;
