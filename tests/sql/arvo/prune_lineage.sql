-- arvo.prune_lineage(digest): contract, stories.
BEGIN;
SELECT plan(16);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.prune_lineage(bytea)',
    'integer', 'plpgsql', 'volatile', false,
    'nobody',
    ARRAY['search_path=pg_catalog, pg_temp', 'enable_seqscan=off']
);

-- stories ---------------------------------------------------------------------------------------

CREATE FUNCTION pg_temp.places() RETURNS text
LANGUAGE sql AS $$
    SELECT string_agg(subject, ' ' ORDER BY subject COLLATE "C") FROM arvo.lineage
$$;
CREATE FUNCTION pg_temp.prune(p_subject text) RETURNS integer
LANGUAGE sql AS $$ SELECT arvo.prune_lineage(arvo.subject_digest(p_subject)) $$;

DO $$
BEGIN
    PERFORM arvo.place('{b,c,d,e}', '{a,b,c,b}');
    PERFORM arvo_v1.write_state('a', '{}');
END;
$$;
SELECT is(pg_temp.prune('b'), 0, 'something descends from it: it stays');
SELECT is(pg_temp.prune('d'), 2, 'a leaf goes, and its parent that is a leaf then');
SELECT is(pg_temp.places(), 'a b e', 'no further than where another one hangs');
SELECT is(pg_temp.prune('a'), 0, 'one with a state stays');
SELECT is(pg_temp.prune('e'), 2, 'the last ones');
SELECT is(pg_temp.places(), 'a', 'but for the one with a state');
SELECT is(pg_temp.prune('stranger'), 0, 'what is not known has no place');
SELECT is(arvo.prune_lineage(NULL), 0, 'nor has nothing');
DELETE FROM arvo.state;
SELECT is(pg_temp.prune('a'), 1, 'a root goes as well');

SELECT * FROM finish();
ROLLBACK;
