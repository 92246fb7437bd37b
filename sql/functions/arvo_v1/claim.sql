-- arvo_v1.claim(queues, limit, worker, limits, lease) — lease deliveries.
CREATE OR REPLACE FUNCTION arvo_v1.claim(
    p_queues text[],
    p_limit integer DEFAULT 1,
    p_worker text DEFAULT NULL,
    p_limits integer[] DEFAULT NULL,
    p_lease interval DEFAULT interval '30 seconds'
)
RETURNS SETOF arvo_v1.claimed
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $claim$
-- Heals first: due deferred deliveries are promoted, expired leases are taken back. Then leases up
-- to p_limit deliveries of p_queues, and no more than p_limits[i] of the i-th. A name that ends in *
-- stands for every queue that begins so. Starts at a random queue, also among those that a star
-- stands for, so that none starves; higher priorities come first. A lane that another session is claiming from is left alone.
-- A lane's lock is held to the end of the transaction, and the server has room for some thousands:
-- past 32 lanes, one with nothing to do is not locked, and a call takes from at most 512 more. A
-- paused queue is left out. A gated queue is claimed under the lock of its home lane as well.
-- Within a lane leases lapse in the order in which they were taken, so the longest p_lease that
-- anybody asks for bounds how soon the next crash is noticed there; that is why it is short. In a
-- transaction of several calls settle and extend come before claim: leases are locked before lanes.
--
--   Reads    arvo.queue, arvo.lane; as arvo.is_worth_claiming, arvo.claim_lane, arvo.claim_gated
--   Writes   as arvo.promote, arvo.claim_lane and arvo.claim_gated
--   Locks    the promoter's lock, each lane: tried, never waited for
--   Raises   RV003  a queue is not known
--            RV005  the transaction is not READ COMMITTED
--            RV006  an argument is not valid
--            RV902  the stored transaction numbers are of another cluster
DECLARE
    v_start integer := floor(random() * 1000000000)::integer;
    v_lane record;
    v_home integer;
    v_left integer := p_limit;
    v_quota integer[] := p_limits;
    v_want integer;
    v_got integer;
    v_locked integer := 0;
    v_unknown text;
    v_argument text;
BEGIN
    PERFORM arvo.require_read_committed('claim');
    PERFORM arvo.require_home();
    v_argument := CASE
        WHEN p_queues IS NULL OR cardinality(p_queues) = 0 THEN 'queues'
        WHEN p_limit IS NULL OR p_limit NOT BETWEEN 0 AND 10000 THEN 'limit'
        WHEN cardinality(p_limits) <> cardinality(p_queues) THEN 'limits'
        WHEN p_lease IS NULL OR p_lease NOT BETWEEN interval '1 second' AND interval '5 minutes'
            THEN 'lease'
    END;
    IF v_argument IS NOT NULL THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = v_argument,
              DETAIL = format('%s queues, limit %s, %s limits, lease %s', cardinality(p_queues),
                              p_limit, cardinality(p_limits), p_lease),
              HINT = 'Name at least one queue; limit is 0 to 10000; limits has one number for each'
                     ' queue; lease is 1 second to 5 minutes: a longer run is kept by extend.';
    END IF;
    SELECT asked.name INTO v_unknown
    FROM unnest(p_queues) AS asked (name)
    WHERE asked.name IS NULL
    OR (
        NOT asked.name LIKE '%*'
        AND NOT EXISTS (SELECT FROM arvo.queue WHERE queue.name = asked.name)
    )
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'queue is not known'
        USING ERRCODE = 'RV003',
              COLUMN = 'queues',
              DETAIL = format('queue: %s', left(to_json(v_unknown)::text, 80)),
              HINT = 'Register the queue before claiming from it.';
    END IF;

    PERFORM arvo.promote();

    FOR v_lane IN
        SELECT lane.lane, named.gated, named.queue, asked.position
        FROM unnest(p_queues) WITH ORDINALITY AS asked (name, position)
        CROSS JOIN LATERAL (
            SELECT queue.queue, queue.gated
            FROM arvo.queue
            WHERE queue.name = asked.name AND queue.paused_at IS NULL
            UNION ALL
            SELECT queue.queue, queue.gated
            FROM arvo.queue
            WHERE asked.name LIKE '%*' AND starts_with(queue.name, left(asked.name, -1))
            AND queue.paused_at IS NULL
        ) AS named
        INNER JOIN arvo.lane ON lane.queue = named.queue AND NOT lane.retired
        ORDER BY
            (asked.position + v_start) % cardinality(p_queues),
            lane.priority DESC,
            hashint4extended(lane.lane, v_start)
    LOOP
        EXIT WHEN v_left <= 0;
        v_want := least(v_left, v_quota[v_lane.position]);
        CONTINUE WHEN v_want <= 0;
        EXIT WHEN v_locked >= 544;
        CONTINUE WHEN v_locked >= 32 AND NOT arvo.is_worth_claiming(v_lane.lane);
        IF v_lane.gated THEN
            v_home := arvo.home_lane(v_lane.queue);
            CONTINUE WHEN NOT pg_try_advisory_xact_lock(hashtext('arvo'), v_home);
            CONTINUE WHEN NOT pg_try_advisory_xact_lock(hashtext('arvo'), v_lane.lane);
            v_locked := v_locked + 1 + (v_home <> v_lane.lane)::integer;
            RETURN QUERY
            SELECT leased.*
            FROM arvo.claim_gated(
                v_lane.lane, v_home, v_want, left(p_worker, 200), p_lease
            ) AS leased;
        ELSE
            CONTINUE WHEN NOT pg_try_advisory_xact_lock(hashtext('arvo'), v_lane.lane);
            v_locked := v_locked + 1;
            RETURN QUERY
            SELECT leased.*
            FROM arvo.claim_lane(v_lane.lane, v_want, left(p_worker, 200), p_lease) AS leased;
        END IF;
        GET DIAGNOSTICS v_got = ROW_COUNT;
        v_left := v_left - v_got;
        v_quota[v_lane.position] := v_quota[v_lane.position] - v_got;
    END LOOP;
END;
$claim$;

COMMENT ON FUNCTION arvo_v1.claim(text[], integer, text, integer[], interval) IS
'Leases deliveries of the named queues, after healing what is due or expired.';

REVOKE ALL ON FUNCTION arvo_v1.claim(text[], integer, text, integer[], interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.claim(text[], integer, text, integer[], interval)
TO arvo_worker;
