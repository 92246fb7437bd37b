-- arvo.key_room(queue, turn): contract, a table of cases.
BEGIN;
SELECT plan(29);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.key_room(arvo.queue,arvo.turn)',
    'integer', 'sql', 'immutable', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SELECT is(
    arvo.key_room(
        jsonb_populate_record(NULL::arvo.queue, jsonb_build_object('policy', given.policy, 'stateful', false) || given.options),
        jsonb_populate_record(NULL::arvo.turn, jsonb_build_object('active', given.active, 'waiting', 9, 'holder', given.holder))
    ),
    given.room, concat_ws(', ', given.policy, given.options, given.active || ' active', 'holder ' || given.holder)
)
FROM (
    VALUES
    ('ordered', '{}'::jsonb, 0, NULL::bigint, 16),
    ('ordered', '{}', 1, NULL, 0),
    ('ordered', '{}', 16, NULL, 0),
    ('ordered', '{}', 0, 7, 0),
    ('ordered', '{"stateful": true}', 0, NULL, 16),
    ('ordered', '{"stateful": true, "key_from": "tenant"}', 0, NULL, 1),
    ('ordered', '{"stateful": true, "key_from": "tenant"}', 1, NULL, 0),
    ('ordered', '{"key_from": "tenant"}', 0, NULL, 16),
    ('ordered', '{"max_active": 2}', 0, NULL, 16),
    ('singleton', '{}', 0, NULL, 1),
    ('singleton', '{}', 1, NULL, 0),
    ('singleton', '{}', 2, NULL, 0),
    ('stately', '{}', 0, NULL, 1),
    ('stately', '{}', 1, NULL, 0),
    ('stately', '{}', 0, 7, 0),
    ('standard', '{}', 0, NULL, 2147483647),
    ('standard', '{}', 5, NULL, 2147483642),
    ('standard', '{"key_max_active": 3}', 0, NULL, 3),
    ('standard', '{"key_max_active": 3}', 3, NULL, 0),
    ('standard', '{"key_max_active": 3}', 4, NULL, 0),
    ('short', '{"key_max_active": 3}', 2, NULL, 1),
    ('exclusive', '{"key_max_active": 3}', 2, 7, 0)
) AS given (policy, options, active, holder, room);

SELECT * FROM finish();
ROLLBACK;
