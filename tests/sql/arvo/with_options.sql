-- arvo.with_options(queue, asked, reset): contract, stories, refusals.
BEGIN;
SELECT plan(23);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.with_options(arvo.queue,jsonb,text[])',
    'arvo.queue', 'plpgsql', 'stable', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

DO $$ BEGIN PERFORM arvo_v1.register_queue('known', p_retry_limit => 7, p_max_active => 3, p_error_rules => '{"E": "dead"}'); END; $$;
CREATE FUNCTION pg_temp.with(p_name text, p_asked jsonb, p_reset text[] DEFAULT '{}') RETURNS jsonb
LANGUAGE sql AS $$
    SELECT to_jsonb(arvo.with_options(
        coalesce((SELECT named FROM arvo.queue AS named WHERE name = p_name), jsonb_populate_record(NULL::arvo.queue, '{"name": "new"}')),
        p_asked, p_reset
    ))
$$;
-- One row made by the table itself tells the defaults of the table.
INSERT INTO arvo.queue (name, created_at, changed_at) VALUES ('bare', now(), now());
SELECT is(
    pg_temp.with('new', '{}') - '{queue,name,registered,created_at,changed_at,gated,slotted,guarded}'::text[],
    (SELECT to_jsonb(named) - '{queue,name,registered,created_at,changed_at,gated,slotted,guarded}'::text[] FROM arvo.queue AS named
     WHERE name = 'bare'),
    'the defaults of a new queue are those of the table'
);
SELECT is(
    pg_temp.with('known', '{}'), (SELECT to_jsonb(named) FROM arvo.queue AS named WHERE name = 'known'), 'nothing asked changes nothing'
);
SELECT is(
    pg_temp.with('known', '{"retry_limit": 8, "key_from": "tenant"}'),
    (SELECT to_jsonb(named) || '{"retry_limit": 8, "key_from": "tenant"}' FROM arvo.queue AS named WHERE name = 'known'),
    'what is asked changes'
);
SELECT is(
    pg_temp.with('known', '{}', '{retry_limit,max_active,error_rules}'),
    (SELECT to_jsonb(named) || '{"retry_limit": 2, "max_active": null, "error_rules": {}}' FROM arvo.queue AS named WHERE name = 'known'),
    'what is reset goes back to its default'
);
SELECT is(pg_temp.with('known', '{"retry_limit": 9}', '{retry_limit}') -> 'retry_limit', '9', 'what is named as well is asked for');
SELECT is(pg_temp.with('new', '{"stateful": true}') ->> 'policy', 'ordered', 'a stateful queue that is new is ordered');
SELECT is(pg_temp.with('bare', '{"stateful": true}') ->> 'policy', 'ordered', 'also when events were there before it');
SELECT is(pg_temp.with('new', '{"stateful": true, "policy": "standard"}') ->> 'policy', 'standard', 'unless a policy is named');
SELECT is(pg_temp.with('new', '{"stateful": false}') ->> 'policy', 'standard', 'or it is not stateful');
SELECT is(pg_temp.with('known', '{"stateful": true}') ->> 'policy', 'standard', 'or was registered before');
SELECT is(
    pg_temp.with('new', '{"singleton_for": "1 mon"}') ->> 'singleton_for', '720:00:00', 'an interval of singleton_for has a fixed length'
);
-- Its seconds overflow, or are none: that is for arvo.option_fault to refuse.
SELECT is(
    pg_temp.with('new', jsonb_build_object('singleton_for', given.span)) ->> 'singleton_for', given.span::text,
    'what cannot be is left as it is: ' || given.span
)
FROM unnest('{-178000000 years,-00:00:01}'::interval[]) AS given (span);

-- refusals --------------------------------------------------------------------------------------

SELECT is(
    pg_temp.raised(format($$ SELECT pg_temp.with('new', '{}', %L) $$, given.reset)), 'RV002 | option is not valid | reset' || given.detail,
    given.reset::text
)
FROM (
    VALUES
    ('{retry_limit,colour}'::text[], ' | reset: "colour"'),
    ('{name}', ' | reset: "name"'),
    (ARRAY[NULL], ' | reset: ')
) AS given (reset, detail);

SELECT * FROM finish();
ROLLBACK;
