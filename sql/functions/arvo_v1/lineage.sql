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
    CROSS JOIN LATERAL (
        SELECT known.subject_digest, known.subject, known.created_at
        FROM arvo.lineage AS known
        WHERE known.parent_digest = kin.subject_digest
        OFFSET 0  -- by index, whatever the plan
    ) AS lineage
) CYCLE subject_digest SET looped USING path

SELECT kin.subject, kin.parent_subject, kin.depth, memory.execution_status, kin.created_at
FROM kin
LEFT JOIN LATERAL (
    SELECT state.execution_status
    FROM arvo.state
    WHERE state.subject_digest = kin.subject_digest
    LIMIT 1  -- one look-up for each: no join may read all states
) AS memory ON true
WHERE NOT kin.looped
ORDER BY kin.depth, kin.created_at, kin.subject COLLATE "C";
$lineage$;

COMMENT ON FUNCTION arvo_v1.lineage(text) IS
'The tree of workflows that a subject belongs to, from the root down.';

REVOKE ALL ON FUNCTION arvo_v1.lineage(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.lineage(text) TO arvo_worker, arvo_monitor, arvo_operator;
