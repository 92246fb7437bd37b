-- arvo.place(subjects, parents) — place workflows in their trees.
CREATE OR REPLACE FUNCTION arvo.place(p_subjects text[], p_parents text[])
RETURNS void
LANGUAGE sql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $place$
-- p_parents has one text for each subject: its parent's subject, NULL or empty for a root. A parent
-- that is not there yet gets its place now, so children may come first; a place without a parent
-- learns it later. All rows of a call are taken in one order, and rows that need no change are only
-- kept from being removed until the commit, so that siblings do not wait for each other: a clean-up of
-- the parent cannot see the child yet. One that is just being cleaned up is waited for, and placed anew.
--
--   Reads    arvo.clock
--   Writes   arvo.lineage
--   Locks    arvo.lineage rows, in order of their digests
--   Raises   40001  under REPEATABLE READ: somebody has cleaned up the parent meanwhile
WITH given AS (
    SELECT listed.subject, nullif(nullif(listed.parent, listed.subject), '') AS parent
    FROM unnest(p_subjects, p_parents) AS listed (subject, parent)
),

wanted AS (
    SELECT
        arvo.subject_digest(named.subject) AS subject_digest,
        min(named.subject) AS subject,
        (array_agg(arvo.subject_digest(named.parent)) FILTER (WHERE named.parent IS NOT NULL))[1]
            AS parent_digest
    FROM (
        SELECT given.subject, given.parent FROM given
        UNION ALL
        SELECT given.parent, NULL FROM given WHERE given.parent IS NOT NULL
    ) AS named
    GROUP BY arvo.subject_digest(named.subject)
),

kept AS MATERIALIZED (
    SELECT placed.subject_digest, placed.parent_digest
    FROM (SELECT wanted.subject_digest FROM wanted ORDER BY wanted.subject_digest) AS sorted
    CROSS JOIN LATERAL (
        SELECT known.subject_digest, known.parent_digest
        FROM arvo.lineage AS known
        WHERE known.subject_digest = sorted.subject_digest
        FOR KEY SHARE
    ) AS placed
)

INSERT INTO arvo.lineage AS known (subject_digest, subject, parent_digest, created_at)
SELECT wanted.subject_digest, wanted.subject, wanted.parent_digest, arvo.clock()
FROM wanted
WHERE NOT EXISTS (
    SELECT
    FROM kept
    WHERE kept.subject_digest = wanted.subject_digest
    AND (kept.parent_digest IS NOT NULL OR wanted.parent_digest IS NULL)
)
ORDER BY wanted.subject_digest
ON CONFLICT (subject_digest) DO UPDATE
SET parent_digest = excluded.parent_digest
WHERE known.parent_digest IS NULL AND excluded.parent_digest IS NOT NULL;
$place$;

COMMENT ON FUNCTION arvo.place(text[], text[]) IS
'Places workflows in their trees; parents that are missing get their place, too.';

REVOKE ALL ON FUNCTION arvo.place(text[], text[]) FROM PUBLIC;
