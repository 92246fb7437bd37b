-- arvo.vitals_of_upkeep() — whether what must be done regularly is done, and by whom.
CREATE OR REPLACE FUNCTION arvo.vitals_of_upkeep()
RETURNS SETOF arvo_v1.vital
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
AS $vitals_of_upkeep$
-- Maintenance that was not done for ten minutes, and deliveries that have been due for one, are
-- warnings.
--
--   Reads    arvo.upkeep, arvo.promotion, arvo.deferred by due time, arvo.worker, arvo.clock; as
--            arvo.vitals_of_history
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
    v_done_at timestamptz := (SELECT upkeep.at FROM arvo.upkeep WHERE upkeep.task = 'tally');
    v_due timestamptz;
    v_workers bigint;
BEGIN
    RETURN NEXT (
        'maintenance',
        CASE WHEN coalesce(v_now - v_done_at > interval '10 minutes', true) THEN 'warning' ELSE 'ok' END,
        (v_now - v_done_at)::text,
        CASE
            WHEN v_done_at IS NULL THEN 'maintain() has not been called yet.'
            ELSE 'Time since maintain() was called.'
        END,
        CASE
            WHEN coalesce(v_now - v_done_at > interval '10 minutes', true)
                THEN 'Workers call it; without one, let pg_cron or cron call it every minute.'
        END
    )::arvo_v1.vital;

    SELECT waiting.due INTO v_due
    FROM (
        SELECT head.due, head.delivery
        FROM arvo.promotion AS head
        ORDER BY head.number DESC
        LIMIT 1
    ) AS passed
    CROSS JOIN LATERAL (
        SELECT deferred.due
        FROM arvo.deferred
        WHERE (deferred.due, deferred.delivery) > (passed.due, passed.delivery)
        ORDER BY deferred.due, deferred.delivery
        LIMIT 1
    ) AS waiting
    WHERE waiting.due <= v_now;
    RETURN NEXT (
        'promotion',
        CASE
            WHEN v_due < v_now - interval '1 minute' THEN 'warning'
            WHEN v_due < v_now - interval '10 seconds' THEN 'notice'
            ELSE 'ok'
        END,
        coalesce(v_now - v_due, interval '0')::text,
        CASE
            WHEN v_due IS NULL THEN 'Nothing deferred is overdue.'
            ELSE 'So long ago the first of those that wait for promotion became due.'
        END,
        CASE
            WHEN v_due < v_now - interval '10 seconds'
                THEN 'Any claim promotes. Does somebody hold the promoter''s lock? See'
                     ' explain_delivery().'
        END
    )::arvo_v1.vital;

    RETURN QUERY
    SELECT
        'dead_worker', 'warning', left(to_json(gone.worker)::text, 80),
        format('Not seen for %s; it works on %s queues.', v_now - gone.seen_at,
               cardinality(gone.queues)),
        'Restart it. What it had leased is taken back when its leases lapse.'
    FROM arvo.worker AS gone
    WHERE gone.seen_at + 3 * gone.rhythm <= v_now
    ORDER BY gone.seen_at DESC, gone.worker COLLATE "C"
    LIMIT 10;
    SELECT count(*) INTO v_workers
    FROM arvo.worker
    WHERE worker.seen_at + 3 * worker.rhythm > v_now;
    RETURN NEXT (
        'workers', 'ok', v_workers::text,
        'Workers that have checked in lately; one that does not check in is not counted.', NULL
    )::arvo_v1.vital;

    RETURN QUERY SELECT told.* FROM arvo.vitals_of_history() AS told;
END;
$vitals_of_upkeep$;

COMMENT ON FUNCTION arvo.vitals_of_upkeep() IS
'Maintenance, promotion, workers, and what keeps history from being emptied.';

REVOKE ALL ON FUNCTION arvo.vitals_of_upkeep() FROM PUBLIC;
