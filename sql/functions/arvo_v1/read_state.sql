-- arvo_v1.read_state(subject) — the state of one workflow.
CREATE OR REPLACE FUNCTION arvo_v1.read_state(p_subject text)
RETURNS SETOF arvo_v1.state
LANGUAGE sql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $read_state$
-- No row when the subject has no state. Who only monitors sees that it is there, and no data, unless
-- read was granted for all queues.
--
--   Reads    arvo.state, arvo.lineage; as arvo.may_read
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT
    state.subject,
    state.version,
    CASE WHEN arvo.may_read('*') THEN state.data ELSE '{}' END,
    state.execution_status,
    parent.subject,
    state.initiator,
    state.source,
    state.created_at,
    state.changed_at
FROM arvo.state
LEFT JOIN arvo.lineage ON lineage.subject_digest = state.subject_digest
LEFT JOIN arvo.lineage AS parent ON parent.subject_digest = lineage.parent_digest
WHERE state.subject_digest = arvo.subject_digest(p_subject);
$read_state$;

COMMENT ON FUNCTION arvo_v1.read_state(text) IS
'The state of a subject with its version; no row when it has none.';

REVOKE ALL ON FUNCTION arvo_v1.read_state(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.read_state(text) TO arvo_worker, arvo_monitor, arvo_operator;
