-- arvo.place(subjects, parents): contract, stories.
BEGIN;
SELECT plan(15);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.place(text[],text[])',
    'void', 'sql', 'volatile', false,
    'nobody',
    ARRAY['search_path=pg_catalog, pg_temp', 'enable_seqscan=off']
);

CREATE FUNCTION pg_temp.tree() RETURNS text
LANGUAGE sql AS $$
    SELECT string_agg(concat_ws('<', known.subject, parent.subject), ' ' ORDER BY known.subject)
    FROM arvo.lineage AS known
    LEFT JOIN arvo.lineage AS parent ON parent.subject_digest = known.parent_digest
$$;
CREATE FUNCTION pg_temp.place(p_subjects text[], p_parents text[]) RETURNS text
LANGUAGE plpgsql AS $$ BEGIN PERFORM arvo.place(p_subjects, p_parents); RETURN pg_temp.tree(); END $$;

-- stories ---------------------------------------------------------------------------------------

SET LOCAL arvo.frozen_clock = '2030-01-01T00:00:00Z';
SELECT is(pg_temp.place('{child}', '{root}'), 'child<root root', 'a parent gets its place with its first child');
SET LOCAL arvo.frozen_clock = '2030-01-01T00:00:05Z';
SELECT is(pg_temp.place('{root}', '{great}'), 'child<root great root<great', 'and is linked to its own parent later');
SELECT is(
    pg_temp.place('{child}', '{stranger}'), 'child<root great root<great stranger',
    'a parent that is known stays the parent'
);
SELECT is(
    pg_temp.place('{x,y,z}', '{y,z,NULL}'),
    'child<root great root<great stranger x<y y<z z', 'several at once, children first'
);
SELECT is(
    pg_temp.place('{lonely,empty,free}', '{lonely,"",NULL}'),
    'child<root empty free great lonely root<great stranger x<y y<z z',
    'its own parent, an empty one and none are no parent'
);
SELECT results_eq(
    $$ SELECT created_at, count(*) FROM arvo.lineage GROUP BY created_at ORDER BY created_at $$,
    $$ VALUES (timestamptz '2030-01-01 00:00:00Z', 2::bigint), ('2030-01-01 00:00:05Z', 8) $$,
    'a place keeps the time at which it was first seen'
);
SELECT is(pg_temp.place(NULL, NULL), pg_temp.tree(), 'nobody to place, nothing changes');
SELECT is(
    pg_temp.place(ARRAY[repeat('s', 20000)], ARRAY[repeat('t', 20000)]) IS NULL, false,
    'subjects may be of any length'
);

SELECT * FROM finish();
ROLLBACK;
