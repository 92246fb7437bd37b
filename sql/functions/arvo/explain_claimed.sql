-- arvo.explain_claimed(log row) — who has a claimed delivery, or what became of it.
CREATE OR REPLACE FUNCTION arvo.explain_claimed(p_entry arvo.log)
RETURNS SETOF arvo_v1.explanation
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $explain_claimed$
-- Place, reasons, details, times and remedies; no row when it has not been claimed.
--
--   Reads    arvo.lease, arvo.closure by token, arvo.log and arvo.deferred by event, arvo.dead by
--            delivery, arvo.worker, arvo.clock; as arvo.lease_of
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
    v_lease arvo.lease := arvo.lease_of(p_entry.lane, p_entry.xid, p_entry.delivery);
    v_worker text;
    v_expires_at timestamptz;
    v_outcome text;
    v_at timestamptz;
    v_run_time integer;
BEGIN
    IF v_lease.token IS NULL THEN
        RETURN;
    END IF;
    v_worker := coalesce(left(to_json(v_lease.worker)::text, 80), 'a worker without a name');
    SELECT
        closure.outcomes[least(gone.ordinal, cardinality(closure.outcomes))],
        closure.at,
        closure.run_times[gone.ordinal]
    INTO v_outcome, v_at, v_run_time
    FROM arvo.closure
    CROSS JOIN LATERAL
        unnest(closure.deliveries) WITH ORDINALITY AS gone (delivery, ordinal)
    WHERE closure.token = v_lease.token AND gone.delivery = p_entry.delivery
    LIMIT 1;

    IF v_outcome IS NULL THEN
        SELECT newest.expires_at INTO STRICT v_expires_at
        FROM arvo.lease AS newest
        WHERE newest.token = v_lease.token
        ORDER BY newest.number DESC
        LIMIT 1;
        RETURN NEXT (
            NULL, NULL, NULL, 'leased',
            CASE WHEN v_expires_at > v_now THEN 'leased' ELSE 'lapsed' END,
            format('Attempt %s, claimed by %s at %s under lease %s.', p_entry.attempt, v_worker,
                   v_lease.leased_at, v_lease.token),
            v_expires_at,
            CASE
                WHEN v_expires_at <= v_now
                    THEN 'The next claim from this queue, or maintain(), takes it back.'
            END
        )::arvo_v1.explanation;
        RETURN QUERY
        SELECT
            NULL::bigint, NULL::text, NULL::text, 'leased', 'worker',
            format('%s has not checked in since.', v_worker), worker.seen_at,
            'If it is dead, its lease lapses and the delivery is taken back.'
        FROM arvo.worker
        WHERE worker.worker = v_lease.worker
        AND worker.seen_at + 3 * worker.rhythm <= v_now;
        RETURN;
    END IF;

    RETURN NEXT (
        NULL, NULL, NULL, 'closed', 'closed',
        format('Attempt %s of %s: %s%s.', p_entry.attempt, v_worker, v_outcome,
               ', after ' || make_interval(secs => v_run_time / 1000000.0)::text),
        v_at, NULL
    )::arvo_v1.explanation;
    RETURN QUERY
    SELECT
        NULL::bigint, NULL::text, NULL::text, 'closed', 'dead',
        format('Dead letter %s: %s%s.', dead.dead, dead.reason,
               coalesce(', ' || dead.resolution, ', open')),
        dead.died_at,
        CASE WHEN dead.resolution IS NULL THEN 'Redrive it, or discard it.' END
    FROM arvo.dead
    WHERE dead.delivery = p_entry.delivery;
    RETURN QUERY
    SELECT
        NULL::bigint, NULL::text, NULL::text, 'closed', 'again',
        format('Its event went on as delivery %s, attempt %s.', later.delivery, later.attempt),
        later.at, 'Explain that delivery.'
    FROM (
        SELECT log.delivery, log.attempt, log.at, log.cause
        FROM arvo.log
        WHERE log.event_key = p_entry.event_key
        UNION
        SELECT deferred.delivery, deferred.attempt, deferred.at, deferred.cause
        FROM arvo.deferred
        WHERE deferred.subject_key = p_entry.subject_key
        AND deferred.event_key = p_entry.event_key
        AND NOT EXISTS (
            SELECT
            FROM arvo.log AS promoted
            WHERE promoted.event_key = p_entry.event_key
            AND promoted.delivery = deferred.delivery
        )
    ) AS later
    WHERE later.cause ->> 'delivery' = p_entry.delivery::text
    AND later.delivery <> p_entry.delivery;
END;
$explain_claimed$;

COMMENT ON FUNCTION arvo.explain_claimed(arvo.log) IS
'Who holds a claimed delivery and until when, or what became of it and what followed.';

REVOKE ALL ON FUNCTION arvo.explain_claimed(arvo.log) FROM PUBLIC;
