-- arvo.closed_detail(queue, right) — what is said of a queue that is closed to the caller.
CREATE OR REPLACE FUNCTION arvo.closed_detail(p_queue text, p_right text)
RETURNS text
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $closed_detail$
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT format(
    'queue: %s, right: %s, role: %s', left(to_json(p_queue)::text, 80), p_right,
    left(to_json(arvo.caller())::text, 80)
);
$closed_detail$;

COMMENT ON FUNCTION arvo.closed_detail(text, text) IS
'Names the queue, the right and the role of a refusal.';

REVOKE ALL ON FUNCTION arvo.closed_detail(text, text) FROM PUBLIC;
