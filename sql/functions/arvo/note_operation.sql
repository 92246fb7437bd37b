-- arvo.note_operation(verb, queue, details, touched) — write down what an operator did.
CREATE OR REPLACE FUNCTION arvo.note_operation(
    p_verb text,
    p_queue text,
    p_details jsonb,
    p_touched bigint
)
RETURNS void
LANGUAGE sql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $note_operation$
-- A call that touched nothing is written down as well; a dry run is not, its caller does not call.
-- Arguments that are NULL are left out.
--
--   Reads    arvo.clock
--   Writes   arvo.operation
--   Locks    nothing
--   Raises   nothing
INSERT INTO arvo.operation (at, by, role, verb, queue, details, touched)
VALUES (
    arvo.clock(), session_user, nullif(arvo.caller(), session_user), p_verb, p_queue,
    jsonb_strip_nulls(p_details), p_touched
);
$note_operation$;

COMMENT ON FUNCTION arvo.note_operation(text, text, jsonb, bigint) IS
'Writes one row of the audit of what operators do.';

REVOKE ALL ON FUNCTION arvo.note_operation(text, text, jsonb, bigint) FROM PUBLIC;
