-- arvo.guard_fault: contract, stories.
BEGIN;
SELECT plan(20);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.guard_fault(text,text,text[])',
    'text', 'plpgsql', 'stable', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SELECT is(arvo.guard_fault(given.queue, given.role, given.may), given.fault, concat_ws(' ', given.queue, given.role, given.may))
FROM (
    VALUES
    ('com.a', 'arvo_client', '{dispatch}'::text[], NULL), ('*', 'public', '{dispatch,consume,operate,read}', NULL), ('com.*', 'arvo_client', '{read,read}', NULL),
    (NULL, 'arvo_client', '{read}', 'queue: name a queue, or a beginning with a star'),
    ('', 'arvo_client', '{read}', 'queue: name a queue, or a beginning with a star'),
    ('a*b', 'arvo_client', '{read}', 'queue: name a queue, or a beginning with a star'),
    ('a b', 'arvo_client', '{read}', 'queue: name a queue, or a beginning with a star'),
    ('a', NULL, '{read}', 'role: name a role of this server, or public'),
    ('a', 'no such role', '{read}', 'role: name a role of this server, or public'),
    ('a', 'public', NULL, 'may: use dispatch, consume, operate and read'), ('a', 'public', '{}', 'may: use dispatch, consume, operate and read'),
    ('a', 'public', '{all}', 'may: use dispatch, consume, operate and read'), ('a', 'public', ARRAY[NULL], 'may: use dispatch, consume, operate and read')
) AS given (queue, role, may, fault);

SELECT * FROM finish();
ROLLBACK;
