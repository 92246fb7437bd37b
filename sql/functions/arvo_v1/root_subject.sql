-- arvo_v1.root_subject(subject) — the root of the tree that a workflow belongs to.
CREATE OR REPLACE FUNCTION arvo_v1.root_subject(p_subject text)
RETURNS text
LANGUAGE sql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $root_subject$
-- A root is its own root. NULL when the subject is unknown.
--
--   Reads    arvo.lineage
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT lineage.subject
FROM arvo.lineage
WHERE lineage.subject_digest = arvo.root_digest(arvo.subject_digest(p_subject));
$root_subject$;

COMMENT ON FUNCTION arvo_v1.root_subject(text) IS
'Subject of the root of a workflow''s tree; NULL when the workflow is unknown.';

REVOKE ALL ON FUNCTION arvo_v1.root_subject(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.root_subject(text) TO arvo_worker, arvo_monitor, arvo_operator;
