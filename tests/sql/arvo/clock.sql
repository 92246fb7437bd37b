-- arvo.clock(): contract, stories, refusals.
BEGIN;
SELECT plan(17);

-- contract --------------------------------------------------------------------------------------

SELECT has_function('arvo'::name, 'clock'::name, ARRAY[]::name[]);
SELECT function_returns(
    'arvo'::name, 'clock'::name, ARRAY[]::name[], 'timestamp with time zone'
);
SELECT function_lang_is('arvo'::name, 'clock'::name, ARRAY[]::name[], 'plpgsql'::name);
SELECT volatility_is('arvo'::name, 'clock'::name, ARRAY[]::name[], 'volatile');
SELECT isnt_definer('arvo'::name, 'clock'::name, ARRAY[]::name[]);
SELECT function_owner_is('arvo'::name, 'clock'::name, ARRAY[]::name[], 'arvo_owner'::name);
SELECT function_privs_are(
    'arvo'::name, 'clock'::name, ARRAY[]::name[], 'public'::name, ARRAY[]::name[],
    'nobody is granted the private clock'
);

-- stories ---------------------------------------------------------------------------------------

SELECT ok(
    arvo.clock() BETWEEN clock_timestamp() - interval '1 minute' AND clock_timestamp(),
    'it tells the time of the server'
);
SELECT cmp_ok(
    arvo.clock(), '>=', now(),
    'it goes on within a transaction, unlike now()'
);

SET LOCAL arvo.frozen_clock = '2030-01-01T00:00:00Z';
SELECT is(
    arvo.clock(), timestamptz '2030-01-01 00:00:00+00',
    'the owner may freeze it'
);
SELECT is(arvo.clock(), arvo.clock(), 'frozen, it stands still');

SET LOCAL arvo.frozen_clock = '2030-01-01T02:00:00+02:00';
SELECT is(
    arvo.clock(), timestamptz '2030-01-01 00:00:00+00',
    'the zone of the frozen time counts'
);

SET LOCAL arvo.frozen_clock = '';
SELECT cmp_ok(
    arvo.clock(), '<', timestamptz '2030-01-01 00:00:00+00',
    'an empty setting lets it run again'
);

-- refusals --------------------------------------------------------------------------------------

SET LOCAL arvo.frozen_clock = 'half past nine';
SELECT throws_ok(
    'SELECT arvo.clock()', '22007', NULL,
    'a frozen time that is no time is an error'
);
SET LOCAL arvo.frozen_clock = '2030-01-01T00:00:00Z';

CREATE ROLE arvo_test_stranger;
GRANT USAGE ON SCHEMA tap TO arvo_test_stranger;
SET LOCAL SESSION AUTHORIZATION arvo_test_stranger;
SELECT throws_ok(
    'SELECT arvo.clock()', '42501', 'permission denied for schema arvo',
    'a client cannot ask it directly'
);
RESET SESSION AUTHORIZATION;

-- The owner's functions call it for everybody: through one of them, a client's setting is nothing.
CREATE FUNCTION pg_temp.door() RETURNS timestamptz
LANGUAGE sql SECURITY DEFINER AS 'SELECT arvo.clock()';
ALTER FUNCTION pg_temp.door() OWNER TO arvo_owner;
DO $grant$
BEGIN
    EXECUTE format(
        'GRANT USAGE ON SCHEMA %I TO arvo_owner, arvo_test_stranger',
        pg_my_temp_schema()::regnamespace
    );
END;
$grant$;

SELECT is(
    pg_temp.door(), timestamptz '2030-01-01 00:00:00+00',
    'a test of the owner freezes it through a function of the owner'
);
SET LOCAL SESSION AUTHORIZATION arvo_test_stranger;
SELECT cmp_ok(
    pg_temp.door(), '<', timestamptz '2030-01-01 00:00:00+00',
    'a client that freezes it changes nothing'
);
RESET SESSION AUTHORIZATION;

SELECT * FROM finish();
ROLLBACK;
