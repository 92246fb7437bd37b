-- arvo.hold_guards: contract, stories.
BEGIN;
SELECT plan(15);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.hold_guards(text,text,text[])',
    'void', 'plpgsql', 'volatile', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

-- Helpers are called as other roles than their owner's, which may do everything.
GRANT USAGE ON SCHEMA arvo TO PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA arvo TO PUBLIC;
GRANT ALL ON ALL TABLES IN SCHEMA arvo TO PUBLIC;
CREATE ROLE arvo_test_hold_a NOLOGIN;
INSERT INTO arvo.queue_guard (queue, may, roles, changed_at, changed_by)
VALUES ('com.secret', 'operate', '{}', arvo.clock(), 'test'), ('com.own', 'operate', '{arvo_test_hold_a}', arvo.clock(), 'test');
SELECT is(
    pg_temp.as_role('arvo_test_hold_a', format($$ SELECT arvo.hold_guards(%L, 'arvo_test_hold_a', '{operate}') $$, given.queue)),
    CASE WHEN given.closed THEN 'RV007 | queue is closed to this role | queue: "com.secret", right: operate, role: "arvo_test_hold_a"' ELSE '' END,
    given.queue
)
FROM (VALUES ('com.secret', true), ('com.*', true), ('*', true), ('com.secret*', true), ('com.own', false), ('com.other', false)) AS given (queue, closed);
SELECT is(
    pg_temp.raised($$ SELECT arvo.hold_guards('com.a', 'no such role', '{read}') $$),
    'RV006 | argument is not valid | role | queue: "com.a", role: "no such role", may: ["read"]', 'what is not valid'
);
SELECT ok(
    EXISTS (SELECT FROM pg_locks WHERE pid = pg_backend_pid() AND relation = 'arvo.queue'::regclass AND mode = 'ShareRowExclusiveLock'),
    'no queue is made until the commit'
);

SELECT * FROM finish();
ROLLBACK;
