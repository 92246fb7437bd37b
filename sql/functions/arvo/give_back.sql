-- arvo.give_back(lane, range, delivery, outcome, error, after) — what becomes of a delivery that did not complete.
CREATE OR REPLACE FUNCTION arvo.give_back(
    p_lane integer,
    p_low_xid xid8,
    p_high_xid xid8,
    p_delivery bigint,
    p_outcome text,
    p_error jsonb DEFAULT NULL,
    p_after interval DEFAULT NULL
)
RETURNS text
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $give_back$
-- One place decides: retry with back-off, dead letter, or back without charging the attempt.
--
--   p_outcome   what happened                        what follows
--   failed      the handler raised                   retried while attempts are left, else dead
--   expired     the lease lapsed                     the same; dead with reason lease_expired
--   rejected    the handler says: never again        dead
--   released    the worker could not run it          again, same attempt
--   snoozed     the handler says: later              again after p_after, same attempt
--   conflict    the state had moved on               again, same attempt; charged from the 100th on
--
-- Returns the outcome for the journal: retried, dead, released, snoozed or conflict.
--
--   Reads    arvo.log by (lane, xid, delivery), arvo.queue, arvo.lane, arvo.clock
--   Writes   arvo.log or arvo.deferred or arvo.dead
--   Locks    as arvo.bury
--   Raises   RV901  the delivery is not in the log
DECLARE
    v_entry arvo.log;
    v_queue arvo.queue;
    v_cause jsonb;
    v_conflicts integer;
    v_after interval;
BEGIN
    SELECT entry.* INTO v_entry
    FROM arvo.log AS entry
    WHERE entry.lane = p_lane
    AND entry.xid >= p_low_xid
    AND entry.xid <= p_high_xid
    AND entry.delivery = p_delivery;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'a leased delivery is not in the log'
        USING ERRCODE = 'RV901',
              DETAIL = format('lane %s, delivery %s', p_lane, p_delivery),
              HINT = 'Please report this: it should be impossible.';
    END IF;
    SELECT queue.* INTO STRICT v_queue
    FROM arvo.lane
    INNER JOIN arvo.queue ON queue.queue = lane.queue
    WHERE lane.lane = p_lane;

    v_cause := coalesce(v_entry.cause, '{}'::jsonb) || jsonb_build_object(
        'delivery', v_entry.delivery,
        'outcome', p_outcome,
        'error', p_error
    );

    IF p_outcome = 'released' THEN
        PERFORM arvo.again(v_entry, v_entry.attempt, NULL, v_cause);
        RETURN 'released';
    ELSIF p_outcome = 'snoozed' THEN
        PERFORM arvo.again(v_entry, v_entry.attempt, p_after, v_cause);
        RETURN 'snoozed';
    ELSIF p_outcome = 'conflict' THEN
        v_conflicts := coalesce((v_cause ->> 'conflicts')::integer, 0) + 1;
        IF v_conflicts < 100 THEN
            PERFORM arvo.again(
                v_entry, v_entry.attempt, NULL,
                v_cause || jsonb_build_object('conflicts', v_conflicts)
            );
            RETURN 'conflict';
        END IF;
    ELSIF p_outcome = 'rejected' THEN
        PERFORM arvo.bury(v_entry, v_queue, 'rejected', p_error);
        RETURN 'dead';
    END IF;

    IF v_entry.attempt > v_queue.retry_limit THEN
        PERFORM arvo.bury(
            v_entry,
            v_queue,
            CASE WHEN p_outcome = 'expired' THEN 'lease_expired' ELSE 'failed' END,
            p_error
        );
        RETURN 'dead';
    END IF;

    v_after := coalesce(
        p_after,
        arvo.retry_delay(
            v_queue.retry_delay, v_queue.retry_backoff, v_queue.retry_delay_max,
            v_entry.attempt, random()
        )
    );
    PERFORM arvo.again(v_entry, v_entry.attempt + 1, v_after, v_cause - 'conflicts');
    RETURN 'retried';
END;
$give_back$;

COMMENT ON FUNCTION arvo.give_back(integer, xid8, xid8, bigint, text, jsonb, interval) IS
'Decides what becomes of a delivery that did not complete: retry, dead letter, or back uncharged.';

REVOKE ALL ON FUNCTION
arvo.give_back(integer, xid8, xid8, bigint, text, jsonb, interval) FROM PUBLIC;
