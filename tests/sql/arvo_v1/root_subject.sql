-- arvo_v1.root_subject(subject): contract, stories.
BEGIN;
SELECT plan(14);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo_v1.root_subject(text)',
    'text', 'sql', 'stable', true,
    'arvo_monitor, arvo_operator, arvo_worker',
    ARRAY[
        'search_path=pg_catalog, pg_temp',
        'enable_seqscan=off'
    ]
);

-- stories ---------------------------------------------------------------------------------------

DO $$
BEGIN
    PERFORM arvo_v1.write_state('grandchild', '{}', 0, 'child');
    PERFORM arvo_v1.write_state('root', '{}');
    PERFORM arvo_v1.write_state('lonely', '{}', 0, 'lonely');
END;
$$;
SELECT is(arvo_v1.root_subject('grandchild'), 'child', 'the furthest ancestor that is known');
SELECT is(arvo_v1.root_subject('child'), 'child', 'also one that has no state yet');
DO $$ BEGIN PERFORM arvo_v1.write_state('child', '{}', 0, 'root'); END; $$;
SELECT is(arvo_v1.root_subject('grandchild'), 'root', 'once the link is there, the root is found: children may come first');
SELECT is(arvo_v1.root_subject('root'), 'root', 'a root is its own root');
SELECT is(arvo_v1.root_subject('lonely'), 'lonely', 'also one that calls itself its parent');
SELECT is(arvo_v1.root_subject('stranger'), NULL, 'an unknown subject has none');
SELECT is(arvo_v1.root_subject(NULL), NULL, 'nor has nothing');

SELECT * FROM finish();
ROLLBACK;
