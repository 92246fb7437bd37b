-- arvo.finish_generations() — note which old generations are nothing but history.
CREATE OR REPLACE FUNCTION arvo.finish_generations()
RETURNS integer
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $finish_generations$
-- A generation is closed when the next one is seen in use, by another transaction than the one that
-- opened it: whoever stamps rows with it took his time before. It is finished when nothing pins it.
-- From then on it is kept for delete_after, so that also what was completed late keeps its history.
-- Returns how many became finished.
--
--   Reads    arvo.generation, arvo.clock; as arvo.slot_pins
--   Writes   arvo.generation
--   Locks    arvo.generation rows, which only maintain() changes
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
    v_finished integer;
BEGIN
    UPDATE arvo.generation AS old
    SET closed_at = v_now
    WHERE old.closed_at IS NULL
    AND EXISTS (
        SELECT
        FROM arvo.generation AS later
        WHERE later.number > old.number
        AND later.opened_by IS DISTINCT FROM pg_current_xact_id_if_assigned()
    );
    UPDATE arvo.generation AS old
    SET finished_at = v_now
    WHERE old.closed_at IS NOT NULL
    AND old.finished_at IS NULL
    AND old.emptied_at IS NULL
    AND NOT EXISTS (SELECT FROM arvo.slot_pins(old.slot, old.closed_at, 1));
    GET DIAGNOSTICS v_finished = ROW_COUNT;
    RETURN v_finished;
END;
$finish_generations$;

COMMENT ON FUNCTION arvo.finish_generations() IS
'Notes which old generations are closed and which are finished; returns how many became finished.';

REVOKE ALL ON FUNCTION arvo.finish_generations() FROM PUBLIC;
