-- arvo.root_digest(digest): contract, stories.
BEGIN;
SELECT plan(15);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.root_digest(bytea)',
    'bytea', 'sql', 'stable', false,
    'nobody',
    ARRAY[
        'search_path=pg_catalog, pg_temp',
        'enable_seqscan=off'
    ]
);

-- stories ---------------------------------------------------------------------------------------

CREATE FUNCTION pg_temp.link(p_subject text, p_parent text) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO arvo.lineage (subject_digest, subject, parent_digest, created_at)
    VALUES (arvo.subject_digest(p_subject), p_subject, arvo.subject_digest(p_parent), now())
$$;
CREATE FUNCTION pg_temp.root_of(p_subject text) RETURNS text
LANGUAGE sql AS $$
    SELECT subject FROM arvo.lineage
    WHERE subject_digest = arvo.root_digest(arvo.subject_digest(p_subject))
$$;
SELECT pg_temp.link(kin.subject, kin.parent)
FROM (VALUES ('leaf', 'child'), ('child', 'root'), ('root', NULL), ('lost', 'nobody'), ('other', NULL))
    AS kin (subject, parent);
SELECT is(pg_temp.root_of('leaf'), 'root', 'two steps up');
SELECT is(pg_temp.root_of('child'), 'root', 'one step up');
SELECT is(pg_temp.root_of('root'), 'root', 'a root is its own root');
SELECT is(pg_temp.root_of('other'), 'other', 'each tree has its own');
SELECT is(pg_temp.root_of('lost'), 'lost', 'where the parent is missing, the walk ends');
SELECT is(pg_temp.root_of('stranger'), NULL, 'an unknown subject has none');
SELECT is(arvo.root_digest(NULL), NULL, 'nor has nothing');
UPDATE arvo.lineage SET parent_digest = arvo.subject_digest('leaf') WHERE subject = 'root';
SELECT is(pg_temp.root_of('leaf'), 'root', 'a loop ends the walk with the last new subject');

SELECT * FROM finish();
ROLLBACK;
