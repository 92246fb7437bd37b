-- arvo.root_digest(digest) — the root of the tree that a workflow belongs to.
CREATE OR REPLACE FUNCTION arvo.root_digest(p_digest bytea)
RETURNS bytea
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $root_digest$
-- Walks up, so it does not matter in which order parents and children were stored. A loop in the
-- parents (impossible by way of events, possible by hand) ends the walk. NULL when unknown.
--
--   Reads    arvo.lineage
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
WITH RECURSIVE ancestor AS (
    SELECT lineage.subject_digest, lineage.parent_digest, 0 AS height
    FROM arvo.lineage
    WHERE lineage.subject_digest = p_digest
    UNION ALL
    SELECT lineage.subject_digest, lineage.parent_digest, ancestor.height + 1
    FROM ancestor
    CROSS JOIN LATERAL (
        SELECT known.subject_digest, known.parent_digest
        FROM arvo.lineage AS known
        WHERE known.subject_digest = ancestor.parent_digest
        LIMIT 1  -- by index, whatever the plan
    ) AS lineage
) CYCLE subject_digest SET looped USING path

SELECT ancestor.subject_digest
FROM ancestor
WHERE NOT ancestor.looped
ORDER BY ancestor.height DESC
LIMIT 1;
$root_digest$;

COMMENT ON FUNCTION arvo.root_digest(bytea) IS
'Digest of the root of a workflow''s tree; NULL when the workflow is unknown.';

REVOKE ALL ON FUNCTION arvo.root_digest(bytea) FROM PUBLIC;
