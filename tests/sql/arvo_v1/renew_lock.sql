-- arvo_v1.renew_lock(subject, token, ttl): contract, stories, refusals.
BEGIN;
SELECT plan(26);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo_v1.renew_lock(text,bigint,interval)',
    'boolean', 'plpgsql', 'volatile', true,
    'arvo_worker'
);

-- stories ---------------------------------------------------------------------------------------

SET LOCAL arvo.frozen_clock = '2030-01-01T00:00:00Z';
SELECT token FROM arvo_v1.acquire_lock('order-1', '10 seconds') \gset
CREATE FUNCTION pg_temp.expires_at() RETURNS timestamptz
LANGUAGE sql AS $$ SELECT expires_at FROM arvo.state_lock WHERE subject = 'order-1' $$;

SET LOCAL arvo.frozen_clock = '2030-01-01T00:00:09.999999Z';
SELECT ok(arvo_v1.renew_lock('order-1', :token, '10 seconds'), 'the holder renews it until the last microsecond');
SELECT is(
    pg_temp.expires_at(), timestamptz '2030-01-01 00:00:19.999999Z', 'its time runs from now'
);
SELECT ok(arvo_v1.renew_lock('order-1', :token, '1 second'), 'it may also be shortened');
SELECT is(pg_temp.expires_at(), timestamptz '2030-01-01 00:00:10.999999Z', 'to a time from now');
SELECT ok(arvo_v1.renew_lock('order-1', :token), 'two minutes are the default');
SELECT is(pg_temp.expires_at(), timestamptz '2030-01-01 00:02:09.999999Z', 'from now');

-- refusals --------------------------------------------------------------------------------------

SELECT is(arvo_v1.renew_lock('order-1', :token + 1), false, 'a token that never was');
SELECT is(arvo_v1.renew_lock('order-2', :token), false, 'the token of another subject');
SELECT is(arvo_v1.renew_lock('order-1', NULL), false, 'no token');
SELECT is(arvo_v1.renew_lock(NULL, :token), false, 'no subject');
SET LOCAL arvo.frozen_clock = '2030-01-01T00:02:09.999999Z';
SELECT is(arvo_v1.renew_lock('order-1', :token), false, 'a lock whose time is over, though nobody took it');
SELECT is(
    pg_temp.expires_at(), timestamptz '2030-01-01 00:02:09.999999Z', 'nothing has changed by all that'
);
SELECT is((SELECT count(*) FROM arvo_v1.acquire_lock('order-1')), 1::bigint, 'it is taken over');
SELECT is(arvo_v1.renew_lock('order-1', :token), false, 'and the old token renews nothing');
SELECT is(
    pg_temp.raised(format($$ SELECT arvo_v1.renew_lock('order-1', 1, %L::interval) $$, given.ttl)),
    'RV006 | argument is not valid | ttl | ttl: ' || coalesce(given.ttl::interval::text, ''),
    'a ttl of ' || coalesce(given.ttl, 'nothing')
)
FROM unnest(ARRAY[NULL, '0', '-1 second', '0.000999 seconds', '30 days 1 microsecond']) AS given (ttl);

SELECT * FROM finish();
ROLLBACK;
