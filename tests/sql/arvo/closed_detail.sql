-- arvo.closed_detail: contract, stories.
BEGIN;
SELECT plan(9);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.closed_detail(text,text)',
    'text', 'sql', 'stable', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SELECT is(
    arvo.closed_detail(E'a\nERROR: b', 'dispatch'), format('queue: "a\nERROR: b", right: dispatch, role: %s', to_json(session_user::text)),
    'names of queues and roles come escaped'
);
SELECT cmp_ok(length(arvo.closed_detail(repeat('q', 5000), 'operate')), '<', 250, 'and cut short');

SELECT * FROM finish();
ROLLBACK;
