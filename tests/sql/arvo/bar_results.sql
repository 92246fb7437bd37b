-- arvo.bar_results: contract, stories.
BEGIN;
SELECT plan(8);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.bar_results(arvo.result[])',
    'arvo.result[]', 'plpgsql', 'stable', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

-- Helpers are called as other roles than their owner's, which may do everything.
GRANT USAGE ON SCHEMA arvo TO PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA arvo TO PUBLIC;
GRANT ALL ON ALL TABLES IN SCHEMA arvo TO PUBLIC;
CREATE ROLE arvo_test_bar_a NOLOGIN IN ROLE arvo_worker;
DO $$ BEGIN
    PERFORM arvo_v1.register_queue(name) FROM unnest('{com.own,com.other,com.sink}'::text[]) AS name;
    PERFORM arvo_v1.grant_queue('com.other', 'arvo_monitor', '{consume}');
    PERFORM arvo_v1.grant_queue('com.sink', 'arvo_monitor', '{dispatch}');
END; $$;
CREATE FUNCTION pg_temp.item(p_ordinal integer, p_queue text, p_to text DEFAULT NULL, p_verdict text DEFAULT NULL) RETURNS arvo.result
LANGUAGE sql AS $$
    SELECT jsonb_populate_record(NULL::arvo.result, jsonb_build_object(
        'ordinal', p_ordinal, 'lane', arvo.lane_for(p_queue), 'asked', 'completed', 'verdict', p_verdict,
        'events', CASE WHEN p_to IS NULL THEN '[]' ELSE jsonb_build_array(pg_temp.event('1', p_to)) END
    ))
$$;
SELECT is(
    pg_temp.as_role('arvo_test_bar_a', format(
        'SELECT array_agg(concat_ws('' '', verdict, code, detail)) FROM unnest(arvo.bar_results(%L)) AS item',
        ARRAY[pg_temp.item(1, 'com.own'), pg_temp.item(2, 'com.other'), pg_temp.item(3, 'com.own', 'com.sink'), pg_temp.item(4, 'com.own', 'com.own'),
              pg_temp.item(5, 'com.other', NULL, 'already')]
    ))::text[],
    ARRAY['', 'refused RV007 queue: "com.other", right: consume, role: "arvo_test_bar_a"',
          'refused RV007 queue: "com.sink", right: dispatch, role: "arvo_test_bar_a"', '', 'already'],
    'each is refused by itself'
);

SELECT * FROM finish();
ROLLBACK;
