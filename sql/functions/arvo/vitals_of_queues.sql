-- arvo.vitals_of_queues() — lag, length and consumers of the queues.
CREATE OR REPLACE FUNCTION arvo.vitals_of_queues()
RETURNS SETOF arvo_v1.vital
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $vitals_of_queues$
-- Of each topic the worst few. Lag is the age of what comes next in a lane: more than a minute is a
-- notice, ten a warning; paused and unregistered queues are told apart.
--
--   Reads    arvo.queue, arvo.lane, arvo.lease, arvo.tally, arvo.dead, arvo.clock; as arvo.count_lane
--            and arvo.disagreements
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
    v_lanes arvo.lane_state[];
BEGIN
    SELECT coalesce(
        array_agg(
            (
                queue.name, lane.priority, queue.registered, queue.paused_at IS NOT NULL,
                queue.warning_queue_size, figures.unread, figures.parked, figures.oldest_at
            )::arvo.lane_state
        ),
        '{}'
    )
    INTO v_lanes
    FROM arvo.lane
    INNER JOIN arvo.queue ON queue.queue = lane.queue
    CROSS JOIN LATERAL (
        SELECT newest AS lease
        FROM arvo.lease AS newest
        WHERE newest.lane = lane.lane
        ORDER BY newest.number DESC
        LIMIT 1
    ) AS head
    LEFT JOIN LATERAL (
        SELECT newest AS tally
        FROM arvo.tally AS newest
        WHERE newest.lane = lane.lane
        ORDER BY newest.number DESC
        LIMIT 1
    ) AS last ON true
    CROSS JOIN LATERAL arvo.count_lane(head.lease, last.tally) AS figures
    WHERE figures.unread > 0 OR figures.parked > 0;

    RETURN QUERY
    SELECT
        'lag',
        CASE
            WHEN v_now - waiting.oldest_at > interval '10 minutes' THEN 'warning'
            WHEN v_now - waiting.oldest_at > interval '1 minute' THEN 'notice'
            ELSE 'ok'
        END,
        (v_now - waiting.oldest_at)::text,
        format('Queue %s, priority %s: %s wait.', waiting.queue, waiting.priority, waiting.unread),
        CASE
            WHEN v_now - waiting.oldest_at > interval '1 minute'
                THEN 'Add workers, or look why they are slow: queue_stats(), explain_delivery().'
        END
    FROM unnest(v_lanes) AS waiting
    WHERE waiting.registered AND NOT waiting.paused AND waiting.oldest_at IS NOT NULL
    ORDER BY waiting.oldest_at, waiting.queue, waiting.priority
    LIMIT 5;
    IF NOT FOUND THEN
        RETURN NEXT ('lag', 'ok', NULL, 'Nothing is ready.', NULL)::arvo_v1.vital;
    END IF;

    RETURN QUERY
    SELECT
        'queue_size', 'warning', sum(waiting.unread + waiting.parked)::text,
        format('Queue %s is longer than its warning_queue_size of %s.', waiting.queue,
               max(waiting.warning_queue_size)),
        'Add workers, or find out why they are slow.'
    FROM unnest(v_lanes) AS waiting
    GROUP BY waiting.queue
    HAVING sum(waiting.unread + waiting.parked) > max(waiting.warning_queue_size)
    ORDER BY sum(waiting.unread + waiting.parked) DESC, waiting.queue
    LIMIT 10;
    IF NOT FOUND THEN
        RETURN NEXT (
            'queue_size', 'ok', NULL, 'No queue is longer than its warning_queue_size.', NULL
        )::arvo_v1.vital;
    END IF;

    RETURN QUERY
    SELECT
        'unroutable',
        CASE WHEN starts_with(waiting.queue, 'arvo.domain.') THEN 'notice' ELSE 'warning' END,
        sum(waiting.unread)::text,
        format('Events wait for queue %s, which nobody has registered.', waiting.queue),
        'Start the process that handles them: they are delivered then.'
    FROM unnest(v_lanes) AS waiting
    WHERE NOT waiting.registered
    -- what died is kept in its dead-letter queue, whether anybody consumes that or not
    AND NOT EXISTS (SELECT FROM arvo.queue WHERE queue.dead_letter = waiting.queue)
    GROUP BY waiting.queue
    ORDER BY sum(waiting.unread) DESC, waiting.queue
    LIMIT 10;
    IF NOT FOUND THEN
        RETURN NEXT (
            'unroutable', 'ok', NULL, 'No event waits for somebody to register its queue.', NULL
        )::arvo_v1.vital;
    END IF;

    RETURN QUERY
    SELECT
        'paused', 'notice', (v_now - queue.paused_at)::text,
        format('Queue %s is paused.', queue.name), 'Resume it when the reason is gone.'
    FROM arvo.queue
    WHERE queue.paused_at IS NOT NULL
    ORDER BY queue.paused_at, queue.name COLLATE "C"
    LIMIT 10;
    IF NOT FOUND THEN
        RETURN NEXT ('paused', 'ok', NULL, 'No queue is paused.', NULL)::arvo_v1.vital;
    END IF;

    RETURN QUERY
    SELECT
        'dead_letters', 'notice', died.letters::text || CASE WHEN died.letters > 10000 THEN ' or more' ELSE '' END,
        format('Dead letters of queue %s are open.', died.queue), 'Redrive or discard them.'
    FROM (
        SELECT queue.name AS queue, (
            SELECT count(*)
            FROM (
                SELECT
                FROM arvo.dead
                WHERE dead.queue = queue.name AND dead.resolution IS NULL
                LIMIT 10001
            ) AS open
        ) AS letters
        FROM arvo.queue
    ) AS died
    WHERE died.letters > 0
    ORDER BY died.letters DESC, died.queue COLLATE "C"
    LIMIT 10;
    IF NOT FOUND THEN
        RETURN NEXT ('dead_letters', 'ok', NULL, 'No dead letter is open.', NULL)::arvo_v1.vital;
    END IF;

    RETURN QUERY
    SELECT
        'registrations', 'warning', disagreement.queue,
        format('Option %s: %s.', disagreement.option, disagreement.detail),
        'Let the processes agree; the last to register has its way.'
    FROM arvo.disagreements() AS disagreement
    LIMIT 10;
    IF NOT FOUND THEN
        RETURN NEXT (
            'registrations', 'ok', NULL, 'All processes agree on the options of their queues.', NULL
        )::arvo_v1.vital;
    END IF;
END;
$vitals_of_queues$;

COMMENT ON FUNCTION arvo.vitals_of_queues() IS
'Lag, length, consumers, pauses, dead letters and disagreements of the queues.';

REVOKE ALL ON FUNCTION arvo.vitals_of_queues() FROM PUBLIC;
