-- arvo_v1.lineage(subject) — the whole tree that a workflow belongs to.
CREATE OR REPLACE FUNCTION arvo_v1.lineage(p_subject text)
RETURNS SETOF arvo_v1.kin
LANGUAGE sql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $lineage$
-- From the root down, parents before children. No row when the subject is unknown.
--
--   Reads    arvo.lineage, arvo.state
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
WITH RECURSIVE kin AS (
    SELECT
        lineage.subject_digest, lineage.subject, NULL::text AS parent_subject, 0 AS depth,
        lineage.created_at
    FROM arvo.lineage
    WHERE lineage.subject_digest = arvo.root_digest(arvo.subject_digest(p_subject))
    UNION ALL
    SELECT
        lineage.subject_digest, lineage.subject, kin.subject, kin.depth + 1,
        lineage.created_at
    FROM kin
    INNER JOIN arvo.lineage ON lineage.parent_digest = kin.subject_digest
) CYCLE subject_digest SET looped USING path

SELECT kin.subject, kin.parent_subject, kin.depth, state.execution_status, kin.created_at
FROM kin
LEFT JOIN arvo.state ON state.subject_digest = kin.subject_digest
WHERE NOT kin.looped
ORDER BY kin.depth, kin.created_at, kin.subject COLLATE "C";
$lineage$;

COMMENT ON FUNCTION arvo_v1.lineage(text) IS
'The tree of workflows that a subject belongs to, from the root down.';

REVOKE ALL ON FUNCTION arvo_v1.lineage(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.lineage(text) TO arvo_worker, arvo_monitor, arvo_operator;
