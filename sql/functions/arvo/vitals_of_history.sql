-- arvo.vitals_of_history() — what keeps old history from being emptied.
CREATE OR REPLACE FUNCTION arvo.vitals_of_history()
RETURNS SETOF arvo_v1.vital
LANGUAGE sql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $vitals_of_history$
-- This is the one place where health() asks the keeper of generations what pins them. Until there is
-- one, it tells which slot is in use and since when.
--
--   Reads    arvo.generation, arvo.clock
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT
    'history', 'ok', newest.number::text,
    format('Slot %s is in use, for %s.', newest.slot, arvo.clock() - newest.opened_at), NULL
FROM arvo.generation AS newest
ORDER BY newest.number DESC
LIMIT 1;
$vitals_of_history$;

COMMENT ON FUNCTION arvo.vitals_of_history() IS
'What keeps old generations of log, lease and closure from being emptied.';

REVOKE ALL ON FUNCTION arvo.vitals_of_history() FROM PUBLIC;
