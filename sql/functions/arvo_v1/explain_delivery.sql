-- arvo_v1.explain_delivery(delivery) — every reason why a delivery does not run now.
CREATE OR REPLACE FUNCTION arvo_v1.explain_delivery(p_delivery bigint)
RETURNS SETOF arvo_v1.explanation
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
AS $explain_delivery$
-- One row for each reason; one that says "next" when there is none. Who holds it, if it runs; what
-- became of it, if it has run. trace() tells the numbers of an event's deliveries. A number in the log
-- is found by an index of ranges: quick, but for a person, not for a program in a loop.
--
--   Reads    arvo.deferred, arvo.promotion, arvo.dead, arvo.queue, arvo.lane, arvo.clock, pg_locks,
--            pg_stat_activity; as arvo.find_logged, arvo.explain_claimed, arvo.explain_place and
--            arvo.explain_queue
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
    v_entry arvo.log;
    v_deferred arvo.deferred;
    v_queue arvo.queue;
    v_event_id text;
    v_place text;
    v_reasons arvo_v1.explanation[];
    v_promoter integer;
BEGIN
    v_entry := arvo.find_logged(p_delivery);
    IF v_entry.delivery IS NULL THEN
        SELECT deferred.* INTO v_deferred
        FROM arvo.deferred
        WHERE deferred.delivery = p_delivery;
    END IF;

    IF v_entry.delivery IS NULL AND v_deferred.delivery IS NULL THEN
        RETURN QUERY
        SELECT
            p_delivery, dead.event_id, dead.queue, 'dead', 'dead',
            format('Dead letter %s: %s%s; the log has been emptied of it.', dead.dead, dead.reason,
                   coalesce(', ' || dead.resolution, ', open')),
            dead.died_at,
            CASE WHEN dead.resolution IS NULL THEN 'Redrive it, or discard it.' END
        FROM arvo.dead
        WHERE dead.delivery = p_delivery;
        IF NOT FOUND THEN
            RETURN NEXT (
                p_delivery, NULL, NULL, 'unknown', 'unknown',
                CASE
                    WHEN p_delivery > coalesce(
                        pg_sequence_last_value('arvo.delivery_number'::regclass), 0
                    )
                        THEN 'No delivery has had that number yet.'
                    ELSE format(
                        'Its transaction is still open or was rolled back, or its history has been'
                        ' emptied. %s transactions are open now.',
                        (
                            SELECT count(*)
                            FROM pg_stat_activity AS activity
                            WHERE activity.backend_xid IS NOT NULL
                            AND activity.pid <> pg_backend_pid()
                        )
                    )
                END,
                NULL, NULL
            )::arvo_v1.explanation;
        END IF;
        RETURN;
    END IF;

    SELECT queue.* INTO STRICT v_queue
    FROM arvo.lane
    INNER JOIN arvo.queue ON queue.queue = lane.queue
    WHERE lane.lane = coalesce(v_entry.lane, v_deferred.lane);

    IF v_entry.delivery IS NOT NULL THEN
        v_event_id := arvo.event_of(v_entry) ->> 'id';
        SELECT array_agg(claimed) INTO v_reasons FROM arvo.explain_claimed(v_entry) AS claimed;
        IF v_reasons IS NOT NULL THEN
            RETURN QUERY
            SELECT
                p_delivery, v_event_id, v_queue.name, told.place, told.reason, told.detail,
                told.until, told.remedy
            FROM unnest(v_reasons) AS told;
            RETURN;
        END IF;
        v_place := CASE
            WHEN EXISTS (SELECT FROM arvo.parked WHERE parked.delivery = p_delivery) THEN 'parked'
            ELSE 'logged'
        END;
        SELECT array_agg(told) INTO v_reasons
        FROM arvo.explain_place(v_queue, v_entry) AS told;
    ELSE
        v_place := 'deferred';
        v_event_id := coalesce(v_deferred.event, (
            SELECT origin.event
            FROM arvo.log AS origin
            WHERE origin.lane = v_deferred.origin_lane
            AND origin.xid = v_deferred.origin_xid
            AND origin.delivery = v_deferred.origin_delivery
        )) ->> 'id';
        IF v_deferred.due > v_now THEN
            v_reasons := ARRAY[(
                NULL, NULL, NULL, NULL, 'deferred',
                format('Attempt %s is put off.', v_deferred.attempt), v_deferred.due,
                'Make it due now: retry_now.'
            )::arvo_v1.explanation];
        ELSE
            SELECT holder.pid INTO v_promoter
            FROM pg_locks AS holder
            WHERE holder.locktype = 'advisory'
            AND holder.objsubid = 2
            AND holder.granted
            AND holder.database = (
                SELECT pg_database.oid
                FROM pg_database
                WHERE pg_database.datname = current_database()
            )
            AND holder.classid = (hashtext('arvo')::bigint & 4294967295)::oid
            AND holder.objid = 0::oid
            AND holder.pid <> pg_backend_pid()
            LIMIT 1;
            v_reasons := ARRAY[(
                NULL, NULL, NULL, NULL, 'promotion',
                'It is due, and goes to the log with the next claim from any queue.'
                || coalesce(format(' Session %s holds the promoter''s lock.', v_promoter), ''),
                v_deferred.due, 'Claim, or call maintain().'
            )::arvo_v1.explanation];
        END IF;
    END IF;

    SELECT coalesce(v_reasons, '{}') || coalesce(array_agg(told), '{}') INTO v_reasons
    FROM arvo.explain_queue(v_queue) AS told
    WHERE told.reason NOT IN ('unroutable', 'domained')
    OR coalesce(v_entry.cause, v_deferred.cause) ->> 'outcome' IS DISTINCT FROM 'dead';
    IF NOT EXISTS (
        SELECT FROM unnest(v_reasons) AS told WHERE told.reason <> 'registrations'
    ) THEN
        v_reasons := (
            NULL, NULL, NULL, NULL, 'next',
            'Nothing holds it: the next claim from this queue takes it.', NULL, NULL
        )::arvo_v1.explanation || v_reasons;
    END IF;
    RETURN QUERY
    SELECT
        p_delivery, v_event_id, v_queue.name, v_place, told.reason, told.detail, told.until,
        told.remedy
    FROM unnest(v_reasons) AS told;
END;
$explain_delivery$;

COMMENT ON FUNCTION arvo_v1.explain_delivery(bigint) IS
'Every reason why a delivery does not run now, or what became of it.';

REVOKE ALL ON FUNCTION arvo_v1.explain_delivery(bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.explain_delivery(bigint)
TO arvo_worker, arvo_monitor, arvo_operator;
