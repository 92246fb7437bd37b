-- arvo.explain_queue(queue) — what keeps a whole queue from running.
CREATE OR REPLACE FUNCTION arvo.explain_queue(p_queue arvo.queue)
RETURNS SETOF arvo_v1.explanation
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
AS $explain_queue$
-- Reasons, details, times and remedies; the caller knows the delivery. What only workers that check
-- in can tell is left out when nobody does.
--
--   Reads    arvo.origin, arvo.lane, arvo.lease, arvo.worker, arvo.turn, arvo.clock, pg_locks; as
--            arvo.disagreements
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
    v_home bigint;
    v_here bigint;
    v_claimed_at timestamptz;
    v_alive bigint;
    v_whole arvo.turn;
BEGIN
    SELECT origin.system_identifier INTO v_home
    FROM arvo.origin
    ORDER BY origin.number DESC
    LIMIT 1;
    SELECT control.system_identifier INTO v_here FROM pg_control_system() AS control;
    IF v_home IS DISTINCT FROM v_here THEN
        RETURN NEXT (
            NULL, NULL, NULL, NULL, 'cluster',
            format('The stored transaction numbers are of cluster %s; this is %s.', v_home, v_here),
            NULL, 'See the hint of RV902, which every claim is refused with.'
        )::arvo_v1.explanation;
    END IF;

    IF NOT p_queue.registered THEN
        RETURN NEXT (
            NULL, NULL, NULL, NULL,
            CASE
                WHEN starts_with(p_queue.name, 'arvo.domain.') THEN 'domained' ELSE 'unroutable'
            END,
            'Nobody has registered this queue.', NULL,
            'Start the process that handles it; what waits is delivered then.'
        )::arvo_v1.explanation;
    END IF;
    IF p_queue.paused_at IS NOT NULL THEN
        RETURN NEXT (
            NULL, NULL, NULL, NULL, 'paused',
            format('The queue was paused by %s.',
                   coalesce(left(to_json(p_queue.paused_by)::text, 80), 'somebody')),
            p_queue.paused_at, 'Resume the queue.'
        )::arvo_v1.explanation;
    END IF;

    SELECT max(newest.leased_at) INTO v_claimed_at
    FROM arvo.lane
    CROSS JOIN LATERAL (
        SELECT recent.leased_at
        FROM (
            SELECT lease.leased_at, lease.token
            FROM arvo.lease
            WHERE lease.lane = lane.lane
            ORDER BY lease.number DESC
            LIMIT 100
        ) AS recent
        WHERE recent.token <> 0
        LIMIT 1
    ) AS newest
    WHERE lane.queue = p_queue.queue;
    SELECT count(*) INTO v_alive
    FROM arvo.worker
    CROSS JOIN LATERAL unnest(worker.queues) AS worked (name)
    WHERE worker.seen_at + 3 * worker.rhythm > v_now
    AND (
        worked.name = p_queue.name
        OR (worked.name LIKE '%*' AND starts_with(p_queue.name, left(worked.name, -1)))
    );
    IF p_queue.registered
        AND v_alive = 0
        AND coalesce(v_claimed_at < v_now - interval '1 minute', true)
    THEN
        RETURN NEXT (
            NULL, NULL, NULL, NULL, 'worker',
            CASE
                WHEN v_claimed_at IS NULL THEN 'No claim from it is known, and no living worker names it.'
                ELSE 'No living worker names it; this was the last claim.'
            END,
            v_claimed_at, 'Start a worker for this queue.'
        )::arvo_v1.explanation;
    END IF;

    RETURN QUERY
    SELECT
        NULL::bigint, NULL::text, NULL::text, NULL::text, 'lane',
        format('Session %s holds lane %s at this moment.', holder.pid, lane.lane),
        activity.xact_start,
        'A claim holds it for moments; a transaction that stays open, until it ends.'
    FROM arvo.lane
    INNER JOIN pg_locks AS holder
        ON holder.locktype = 'advisory'
        AND holder.objsubid = 2
        AND holder.granted
        AND holder.database = (
            SELECT pg_database.oid FROM pg_database WHERE pg_database.datname = current_database()
        )
        AND holder.classid = (hashtext('arvo')::bigint & 4294967295)::oid
        AND holder.objid = lane.lane::oid
    LEFT JOIN pg_stat_activity AS activity ON activity.pid = holder.pid
    WHERE lane.queue = p_queue.queue AND holder.pid <> pg_backend_pid();

    SELECT newest.* INTO v_whole
    FROM arvo.turn AS newest
    WHERE newest.queue = p_queue.queue AND newest.key = 0
    ORDER BY newest.number DESC
    LIMIT 1;
    IF v_whole.active >= p_queue.max_active THEN
        RETURN NEXT (
            NULL, NULL, NULL, NULL, 'limit',
            format('%s of this queue run, and max_active is %s.', v_whole.active,
                   p_queue.max_active),
            NULL, NULL
        )::arvo_v1.explanation;
    END IF;
    IF p_queue.rate_limit IS NOT NULL AND arvo.rate_room(
        v_whole.tally, p_queue.rate_limit, p_queue.rate_period, v_now
    ) = 0 THEN
        RETURN NEXT (
            NULL, NULL, NULL, NULL, 'rate',
            format('%s have started within %s.', p_queue.rate_limit, p_queue.rate_period),
            v_now + arvo.rate_wait(v_whole.tally, p_queue.rate_period, v_now), NULL
        )::arvo_v1.explanation;
    END IF;

    RETURN QUERY
    SELECT
        NULL::bigint, NULL::text, NULL::text, NULL::text, 'registrations',
        format('Option %s: %s.', disagreement.option, disagreement.detail), NULL::timestamptz,
        'Let the processes agree; the last to register has its way.'
    FROM arvo.disagreements(p_queue.name) AS disagreement;
END;
$explain_queue$;

COMMENT ON FUNCTION arvo.explain_queue(arvo.queue) IS
'Every reason why nothing of a queue runs now: pause, workers, locks, limits, disagreements.';

REVOKE ALL ON FUNCTION arvo.explain_queue(arvo.queue) FROM PUBLIC;
