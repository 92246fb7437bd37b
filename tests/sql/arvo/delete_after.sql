-- arvo.delete_after(): contract, stories.
BEGIN;
SELECT plan(10);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.delete_after()',
    'interval', 'sql', 'stable', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SELECT is(arvo.delete_after(), interval '7 days', 'where there is no queue');
DO $$
BEGIN
    PERFORM arvo_v1.register_queue('a', p_delete_after => '3 days');
END;
$$;

SELECT is(arvo.delete_after(), interval '3 days', 'that of the only queue');
DO $$
BEGIN
    PERFORM arvo_v1.register_queue('b', p_delete_after => '30 days');
    PERFORM arvo_v1.register_queue('c', p_delete_after => '1 second');
END;
$$;

SELECT is(arvo.delete_after(), interval '30 days', 'the longest of all');

SELECT * FROM finish();
ROLLBACK;
