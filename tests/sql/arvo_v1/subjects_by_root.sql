-- arvo_v1.subjects_by_root(root): contract, stories.
BEGIN;
SELECT plan(12);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo_v1.subjects_by_root(text)',
    'SETOF text', 'sql', 'stable', true,
    'arvo_monitor, arvo_operator, arvo_worker'
);

-- stories ---------------------------------------------------------------------------------------

SET LOCAL arvo.frozen_clock = '2030-01-01T00:00:00Z';
DO $$
BEGIN
    PERFORM arvo_v1.write_state('leaf', '{}', 0, 'b-child');
    PERFORM arvo_v1.write_state('b-child', '{}', 0, 'root');
    PERFORM arvo_v1.write_state('a-child', '{}', 0, 'root');
    PERFORM arvo_v1.write_state('root', '{}');
    PERFORM arvo_v1.write_state('other', '{}');
END;
$$;
SELECT results_eq(
    $$ SELECT * FROM arvo_v1.subjects_by_root('root') $$,
    $$ VALUES ('a-child'), ('b-child'), ('leaf') $$,
    'all descendants, without the root itself, parents before children'
);
SELECT is_empty($$ SELECT * FROM arvo_v1.subjects_by_root('b-child') $$, 'a child is no root');
SELECT is_empty($$ SELECT * FROM arvo_v1.subjects_by_root('other') $$, 'a root without children has none');
SELECT is_empty($$ SELECT * FROM arvo_v1.subjects_by_root('stranger') $$, 'an unknown subject has none');
SELECT is_empty('SELECT * FROM arvo_v1.subjects_by_root(NULL)', 'nor has nothing');

SELECT * FROM finish();
ROLLBACK;
