-- arvo.open_lanes: contract, stories.
BEGIN;
SELECT plan(13);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.open_lanes(arvo.claimable,text[])',
    'arvo.claimable', 'plpgsql', 'stable', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

-- Helpers are called as other roles than their owner's, which may do everything.
GRANT USAGE ON SCHEMA arvo TO PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA arvo TO PUBLIC;
GRANT ALL ON ALL TABLES IN SCHEMA arvo TO PUBLIC;
CREATE ROLE arvo_test_lanes_a NOLOGIN IN ROLE arvo_worker;
DO $$ BEGIN PERFORM arvo_v1.register_queue(name) FROM unnest('{com.a,com.b}'::text[]) AS name; PERFORM arvo_v1.grant_queue('com.b', 'arvo_monitor', '{consume}'); END; $$;
CREATE FUNCTION pg_temp.lanes(p_queues text) RETURNS text
LANGUAGE sql AS $$
    SELECT format('SELECT array_length((arvo.lanes_to_claim(%L, 10, NULL, ''30 s'')).lanes, 1)', p_queues)
$$;
SELECT is(pg_temp.as_role('arvo_test_lanes_a', pg_temp.lanes('{com.a}')), '1', 'what is open');
SELECT is(pg_temp.as_role('arvo_test_lanes_a', pg_temp.lanes('{com.*}')), '1', 'of a star what is open');
SELECT is(
    pg_temp.as_role('arvo_test_lanes_a', pg_temp.lanes('{com.a,com.b}')),
    'RV007 | queue is closed to this role | queue: "com.b", right: consume, role: "arvo_test_lanes_a"', 'what is named and closed'
);
SELECT is(
    pg_temp.as_role('arvo_test_lanes_a', pg_temp.lanes('{com.*,com.b}')),
    'RV007 | queue is closed to this role | queue: "com.b", right: consume, role: "arvo_test_lanes_a"', 'also beside a star'
);
SELECT is(pg_temp.as_role('arvo_test_lanes_a', pg_temp.lanes('{com.b*}')), NULL, 'a star with nothing open');
SELECT is((arvo.lanes_to_claim('{com.a,com.b}', 10, NULL, '30 s')).places IS NOT NULL, true, 'a superuser has them all');

SELECT * FROM finish();
ROLLBACK;
