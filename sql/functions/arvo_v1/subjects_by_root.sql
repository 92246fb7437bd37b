-- arvo_v1.subjects_by_root(root) — the descendants of a root workflow.
CREATE OR REPLACE FUNCTION arvo_v1.subjects_by_root(p_root text)
RETURNS SETOF text
LANGUAGE sql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $subjects_by_root$
-- Without the root itself, parents before children. Nothing when p_root is unknown or is no root.
--
--   Reads    arvo.lineage
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT kin.subject
FROM arvo_v1.lineage(p_root) WITH ORDINALITY AS kin
WHERE kin.depth > 0 AND arvo_v1.root_subject(p_root) = p_root
ORDER BY kin.ordinality;
$subjects_by_root$;

COMMENT ON FUNCTION arvo_v1.subjects_by_root(text) IS
'Subjects of all descendants of a root workflow, parents before children.';

REVOKE ALL ON FUNCTION arvo_v1.subjects_by_root(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.subjects_by_root(text)
TO arvo_worker, arvo_monitor, arvo_operator;
