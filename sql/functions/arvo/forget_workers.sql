-- arvo.forget_workers(after) — strike off processes that have long been silent.
CREATE OR REPLACE FUNCTION arvo.forget_workers(p_after interval DEFAULT interval '1 day')
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $forget_workers$
-- With them goes what they had registered; also what was registered that long ago by a process that
-- never checked in. Queues stay as they are. Returns how many rows went. For maintain().
--
--   Reads    arvo.clock
--   Writes   arvo.worker, arvo.registration
--   Locks    their rows; those that somebody holds are left out
--   Raises   nothing
DECLARE
    v_before timestamptz := arvo.clock() - p_after;
    v_workers bigint;
    v_registrations bigint;
BEGIN
    WITH silent AS MATERIALIZED (
        SELECT old.worker
        FROM arvo.worker AS old
        WHERE old.seen_at < v_before
        FOR UPDATE SKIP LOCKED
    )

    DELETE FROM arvo.worker
    USING silent
    WHERE worker.worker = silent.worker;
    GET DIAGNOSTICS v_workers = ROW_COUNT;
    WITH orphaned AS MATERIALIZED (
        SELECT old.queue, old.worker
        FROM arvo.registration AS old
        WHERE old.at < v_before
        AND NOT EXISTS (SELECT FROM arvo.worker WHERE worker.worker = old.worker)
        FOR UPDATE SKIP LOCKED
    )

    DELETE FROM arvo.registration
    USING orphaned
    WHERE registration.queue = orphaned.queue AND registration.worker = orphaned.worker;
    GET DIAGNOSTICS v_registrations = ROW_COUNT;
    RETURN v_workers + v_registrations;
END;
$forget_workers$;

COMMENT ON FUNCTION arvo.forget_workers(interval) IS
'Deletes processes that have been silent for so long, and their registrations.';

REVOKE ALL ON FUNCTION arvo.forget_workers(interval) FROM PUBLIC;
