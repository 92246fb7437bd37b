-- arvo.hand_out(queue, lease, batch) — leased deliveries, as a worker gets them.
CREATE OR REPLACE FUNCTION arvo.hand_out(
    p_queue arvo.queue,
    p_lease arvo.lease,
    p_batch arvo.log[]
)
RETURNS SETOF arvo_v1.claimed
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $hand_out$
-- In the order of the batch. Deliveries of a stateful queue come with the state of their subject.
--
--   Reads    arvo.state, by subject; as arvo.event_of
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
BEGIN
    IF p_queue.stateful OR p_queue.policy = 'ordered' THEN
        RETURN QUERY
        SELECT
            p_lease.token, taken.delivery, p_queue.name, taken.attempt, p_lease.expires_at,
            coalesce((taken.options ->> 'expire_in')::interval, p_queue.expire_in),
            whole.event, taken.cause,
            state.data,
            CASE WHEN p_queue.stateful THEN coalesce(state.version, 0) END,
            CASE
                WHEN p_queue.policy = 'ordered' THEN coalesce(
                    taken.key,
                    CASE WHEN taken.subject_key = 0 THEN 1 ELSE taken.subject_key END
                )
            END
        FROM unnest(p_batch) AS taken
        CROSS JOIN LATERAL (
            SELECT
                CASE
                    WHEN taken.event IS NULL THEN arvo.event_of(taken) ELSE taken.event
                END AS event
            OFFSET 0  -- once
        ) AS whole
        LEFT JOIN arvo.state
            ON p_queue.stateful
            AND state.subject_digest = arvo.subject_digest(whole.event ->> 'subject');
    ELSE
        RETURN QUERY
        SELECT
            p_lease.token, taken.delivery, p_queue.name, taken.attempt, p_lease.expires_at,
            coalesce((taken.options ->> 'expire_in')::interval, p_queue.expire_in),
            CASE WHEN taken.event IS NULL THEN arvo.event_of(taken) ELSE taken.event END,
            taken.cause, NULL::jsonb, NULL::bigint, NULL::bigint
        FROM unnest(p_batch) AS taken;
    END IF;
END;
$hand_out$;

COMMENT ON FUNCTION arvo.hand_out(arvo.queue, arvo.lease, arvo.log[]) IS
'Leased deliveries with events, and states where the queue is stateful.';

REVOKE ALL ON FUNCTION arvo.hand_out(arvo.queue, arvo.lease, arvo.log[]) FROM PUBLIC;
