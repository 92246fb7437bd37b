-- arvo.goes_to: contract, stories.
BEGIN;
SELECT plan(12);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.goes_to(jsonb[],boolean,boolean)',
    'text[]', 'sql', 'stable', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

DO $$ BEGIN PERFORM arvo_v1.subscribe('com.s', 'com.test.*'); PERFORM arvo_v1.subscribe('com.t', 'com.**'); END; $$;
CREATE FUNCTION pg_temp.events() RETURNS jsonb[]
LANGUAGE sql AS $$
    SELECT ARRAY[pg_temp.event('1', 'com.b'), pg_temp.event('2', 'com.a', '{"domain": "human"}'), pg_temp.event('3', 'x') - 'to', pg_temp.event('4', 'com.b')]
$$;
SELECT set_eq($$ SELECT unnest(arvo.goes_to(pg_temp.events())) $$, '{com.b,arvo.domain.human,com.test.event}'::text[], 'by domain, to, or type');
SELECT set_eq($$ SELECT unnest(arvo.goes_to(pg_temp.events(), true)) $$, '{com.b,com.a,com.test.event}'::text[], 'domains left aside');
SELECT set_eq(
    $$ SELECT unnest(arvo.goes_to(ARRAY[pg_temp.event('1', 'arvo.publish'), pg_temp.event('2', 'com.b')])) $$, '{com.b,com.s,com.t}'::text[],
    'published: whoever subscribes'
);
SELECT set_eq(
    $$ SELECT unnest(arvo.goes_to(ARRAY[pg_temp.event('1', 'arvo.publish'), pg_temp.event('2', 'com.b')], false, false)) $$, '{com.b}'::text[],
    'or only what the publisher has named'
);
SELECT is(arvo.goes_to('{}'), '{}', 'nowhere');

SELECT * FROM finish();
ROLLBACK;
