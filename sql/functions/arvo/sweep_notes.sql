-- arvo.sweep_notes(limit) — remove what was written down long ago.
CREATE OR REPLACE FUNCTION arvo.sweep_notes(p_limit integer)
RETURNS integer
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $sweep_notes$
-- Up to p_limit rows of each kind:
--
--   omission      older than delete_after
--   dead          resolved longer ago than delete_after; open ones stay for ever
--   operation     older than 90 days
--   registration  older than 30 days
--   generation    emptied, and eight newer ones are there
--   server_start  of other starts than this
--
-- Returns how many rows.
--
--   Reads    arvo.clock, arvo.delete_after
--   Writes   arvo.omission, arvo.dead, arvo.operation, arvo.registration, arvo.generation,
--            arvo.server_start
--   Locks    the rows deleted; those of arvo.dead and arvo.registration unless somebody holds them
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
    v_before timestamptz := v_now - arvo.delete_after();
    v_count integer;
    v_swept integer := 0;
BEGIN
    DELETE FROM arvo.omission
    WHERE omission.number IN (
        SELECT old.number
        FROM arvo.omission AS old
        WHERE old.at <= v_before
        ORDER BY old.at
        LIMIT p_limit
    );
    GET DIAGNOSTICS v_count = ROW_COUNT;
    v_swept := v_swept + v_count;

    WITH resolved AS MATERIALIZED (
        SELECT old.dead
        FROM arvo.dead AS old
        WHERE old.resolution IS NOT NULL AND old.resolved_at <= v_before
        ORDER BY old.resolved_at
        LIMIT p_limit
        FOR UPDATE SKIP LOCKED
    )

    DELETE FROM arvo.dead
    USING resolved
    WHERE dead.dead = resolved.dead;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    v_swept := v_swept + v_count;

    -- Their numbers grow as their times do.
    DELETE FROM arvo.operation
    WHERE operation.number IN (
        SELECT old.number FROM arvo.operation AS old ORDER BY old.number LIMIT p_limit
    )
    AND operation.at <= v_now - interval '90 days';
    GET DIAGNOSTICS v_count = ROW_COUNT;
    v_swept := v_swept + v_count;

    WITH gone AS MATERIALIZED (
        SELECT old.queue, old.worker
        FROM arvo.registration AS old
        WHERE old.at <= v_now - interval '30 days'
        LIMIT p_limit
        FOR UPDATE SKIP LOCKED
    )

    DELETE FROM arvo.registration
    USING gone
    WHERE registration.queue = gone.queue AND registration.worker = gone.worker;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    v_swept := v_swept + v_count;

    DELETE FROM arvo.generation
    WHERE generation.emptied_at IS NOT NULL
    AND generation.number < (
        SELECT newest.number
        FROM arvo.generation AS newest
        ORDER BY newest.number DESC
        OFFSET 7
        LIMIT 1
    );
    GET DIAGNOSTICS v_count = ROW_COUNT;
    v_swept := v_swept + v_count;

    DELETE FROM arvo.server_start WHERE server_start.started_at <> pg_postmaster_start_time();
    GET DIAGNOSTICS v_count = ROW_COUNT;
    RETURN v_swept + v_count;
END;
$sweep_notes$;

COMMENT ON FUNCTION arvo.sweep_notes(integer) IS
'Removes old omissions, resolved dead letters, audit and registrations; returns how many rows.';

REVOKE ALL ON FUNCTION arvo.sweep_notes(integer) FROM PUBLIC;
