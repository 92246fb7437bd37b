-- arvo.note_start() — remember which cluster this start of the server is.
CREATE OR REPLACE FUNCTION arvo.note_start()
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $note_start$
-- For arvo.require_home, which only reads: nobody who dispatches or claims writes here, waits here,
-- or has to be undone. Two who come at the same time write two rows, which say the same. Rows of
-- other starts say something of other servers, or of this one in the past: arvo.sweep_notes.
--
--   Reads    arvo.server_start, pg_control_system
--   Writes   arvo.server_start
--   Locks    nothing
--   Raises   nothing
BEGIN
    INSERT INTO arvo.server_start (started_at, system_identifier)
    SELECT pg_postmaster_start_time(), control.system_identifier
    FROM pg_control_system() AS control
    WHERE NOT EXISTS (
        SELECT
        FROM arvo.server_start
        WHERE server_start.started_at = pg_postmaster_start_time()
    );
END;
$note_start$;

COMMENT ON FUNCTION arvo.note_start() IS
'Remembers which cluster this start of the server is, unless that is known.';

REVOKE ALL ON FUNCTION arvo.note_start() FROM PUBLIC;
