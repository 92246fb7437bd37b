-- arvo.give_back(item, queue) — what becomes of a delivery that did not complete.
CREATE OR REPLACE FUNCTION arvo.give_back(p_item arvo.result, p_queue arvo.queue)
RETURNS arvo.result
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $give_back$
-- One place decides: retry with back-off, dead letter, or back without charging the attempt. What
-- happened is p_item.asked, or conflict when that is its verdict:
--
--   failed      the handler raised              retried while attempts are left, else dead; or as the
--                                               queue's error_rules say for the error's name
--   expired     the lease lapsed                retried or dead; dead with reason lease_expired
--   rejected    the handler says: never again   dead
--   released    the worker could not run it     again, same attempt
--   snoozed     the handler says: later         again after p_item.after, same attempt
--   conflict    the state had moved on          again, same attempt; charged from the 100th on
--
-- Options of the delivery come before those of its queue. In a stately queue a retry needs the place
-- that its key has for retries; when it is taken, the delivery is dead. Returns p_item with its
-- verdict for the journal (retried, dead, released, snoozed or conflict) and the further delivery.
--
--   Reads    arvo.log by (lane, xid, delivery), arvo.clock
--   Writes   arvo.log or arvo.deferred or arvo.dead; as arvo.take_place
--   Locks    as arvo.bury; as arvo.take_place
--   Raises   RV901  the delivery is not in the log
DECLARE
    v_entry arvo.log;
    v_outcome text := coalesce(nullif(p_item.verdict, 'refused'), p_item.asked);
    v_rule jsonb;
    v_cause jsonb;
    v_count integer;
    v_after interval := p_item.after;
    v_error jsonb := p_item.error;
BEGIN
    SELECT entry.* INTO v_entry
    FROM arvo.log AS entry
    WHERE entry.lane = p_item.lane
    AND entry.xid >= coalesce(p_item.xid, p_item.low_xid)
    AND entry.xid <= coalesce(p_item.xid, p_item.high_xid)
    AND entry.delivery = p_item.delivery;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'a leased delivery is not in the log'
        USING ERRCODE = 'RV901',
              DETAIL = format('lane %s, delivery %s', p_item.lane, p_item.delivery),
              HINT = 'Please report this: it should be impossible.';
    END IF;

    IF v_outcome = 'failed' AND v_after IS NULL THEN
        v_rule := p_queue.error_rules -> (v_error ->> 'name');
        IF v_rule = '"dead"' THEN
            v_outcome := 'rejected';
        ELSIF v_rule ? 'snooze' THEN
            v_outcome := 'snoozed';
            v_after := make_interval(secs => round((v_rule ->> 'snooze')::numeric, 6)::double precision);
        ELSIF v_rule ? 'retry_after' THEN
            v_after := make_interval(secs => round((v_rule ->> 'retry_after')::numeric, 6)::double precision);
        END IF;
    END IF;

    v_cause := coalesce(v_entry.cause, '{}'::jsonb) || jsonb_build_object(
        'delivery', v_entry.delivery,
        'outcome', v_outcome,
        'error', v_error
    );

    IF v_outcome = 'released' THEN
        p_item.next := arvo.again(v_entry, v_entry.attempt, NULL, v_cause);
        p_item.verdict := 'released';
        RETURN p_item;
    ELSIF v_outcome = 'snoozed' THEN
        p_item.next := arvo.again(v_entry, v_entry.attempt, v_after, v_cause);
        p_item.verdict := 'snoozed';
        RETURN p_item;
    ELSIF v_outcome = 'conflict' THEN
        v_count := coalesce((v_cause ->> 'conflicts')::integer, 0) + 1;
        IF v_count < 100 THEN
            p_item.next := arvo.again(
                v_entry, v_entry.attempt, NULL,
                v_cause || jsonb_build_object('conflicts', v_count)
            );
            p_item.verdict := 'conflict';
            RETURN p_item;
        END IF;
    ELSIF v_outcome = 'rejected' THEN
        PERFORM arvo.bury(
            v_entry, p_queue,
            CASE WHEN p_item.asked = 'rejected' THEN 'rejected' ELSE 'failed' END, v_error
        );
        p_item.verdict := 'dead';
        RETURN p_item;
    ELSIF v_outcome = 'expired' THEN
        v_count := coalesce((v_cause ->> 'expiries')::integer, 0) + 1;
        v_cause := v_cause || jsonb_build_object('expiries', v_count);
        v_error := v_error || jsonb_build_object(
            'message', format('lease_expired ×%s: %s', v_count, v_error ->> 'message')
        );
    END IF;

    IF v_entry.attempt > coalesce(
        (v_entry.options ->> 'retry_limit')::integer, p_queue.retry_limit
    ) OR (
        p_queue.policy = 'stately'
        AND arvo.take_place(
            p_queue.queue, 'retry', arvo.key_for(p_queue, v_entry),
            arvo.first_of(v_entry)
        ) IS NOT NULL
    ) THEN
        PERFORM arvo.bury(
            v_entry,
            p_queue,
            CASE WHEN v_outcome = 'expired' THEN 'lease_expired' ELSE 'failed' END,
            v_error
        );
        p_item.verdict := 'dead';
        RETURN p_item;
    END IF;

    v_after := coalesce(
        v_after,
        arvo.retry_delay(
            coalesce((v_entry.options ->> 'retry_delay')::interval, p_queue.retry_delay),
            coalesce((v_entry.options ->> 'retry_backoff')::boolean, p_queue.retry_backoff),
            coalesce((v_entry.options ->> 'retry_delay_max')::interval, p_queue.retry_delay_max),
            v_entry.attempt, random()
        )
    );
    p_item.next := arvo.again(v_entry, v_entry.attempt + 1, v_after, v_cause - 'conflicts');
    p_item.verdict := 'retried';
    RETURN p_item;
END;
$give_back$;

COMMENT ON FUNCTION arvo.give_back(arvo.result, arvo.queue) IS
'Decides what becomes of a delivery that did not complete: retry, dead letter, or back uncharged.';

REVOKE ALL ON FUNCTION arvo.give_back(arvo.result, arvo.queue) FROM PUBLIC;
