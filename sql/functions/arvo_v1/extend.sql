-- arvo_v1.extend(leases, for) — heartbeat.
CREATE OR REPLACE FUNCTION arvo_v1.extend(
    p_leases bigint[],
    p_for interval DEFAULT interval '30 seconds'
)
RETURNS SETOF arvo_v1.extended
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '2s'
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $extend$
-- Carries each lease forward: a new row of the ledger holds what is still open of it, under the same
-- token. So every open row is younger than one lease time, and looking for expired ones reads a
-- bounded tail. A lease that is unknown, taken back, or has nothing open is answered held = false; one
-- that is held, with the deliveries that are open still: who runs another one of it runs it in vain.
-- One of a queue that is closed to the caller is none of his: held = false.
--
--   Reads    arvo.lease and arvo.closure by token, arvo.lane, arvo.queue, arvo.clock, arvo.slot;
--            as arvo.require_home
--   Writes   arvo.lease
--   Locks    the leases, in order of their tokens; then their lanes, in order
--   Raises   RV005  the transaction is not READ COMMITTED
--            RV006  an argument is not valid
--            RV902  the stored transaction numbers are of another cluster
--            55P03  somebody has held a lock for two seconds: call again
DECLARE
    v_now timestamptz := arvo.clock();
    v_held record;
    v_head arvo.lease;
    v_lost bigint[];
BEGIN
    PERFORM arvo.require_read_committed('extend');
    PERFORM arvo.require_home();
    IF p_leases IS NULL OR cardinality(p_leases) > 10000 OR p_for IS NULL
        OR p_for NOT BETWEEN interval '1 second' AND interval '5 minutes'
    THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = CASE
                  WHEN p_leases IS NULL OR cardinality(p_leases) > 10000 THEN 'leases'
                  ELSE 'for'
              END,
              DETAIL = format('%s leases for %s', cardinality(p_leases), p_for),
              HINT = 'Give an array of at most 10000 leases and an interval of 1 second to 5 minutes.';
    END IF;

    PERFORM pg_advisory_xact_lock(arvo.lease_key(named.lease))
    FROM (
        SELECT DISTINCT listed.lease
        FROM unnest(p_leases) AS listed (lease)
        WHERE listed.lease IS NOT NULL
        ORDER BY listed.lease
    ) AS named;
    v_lost := p_leases;

    FOR v_held IN
        SELECT newest.*, arvo.open_deliveries(newest.token, newest.deliveries) AS open
        FROM (SELECT DISTINCT listed.lease FROM unnest(p_leases) AS listed (lease)) AS named
        CROSS JOIN LATERAL (
            SELECT
                lease.token, lease.lane, lease.worker, lease.low_xid, lease.high_xid,
                lease.deliveries, lease.xids, lease.keys, lease.places
            FROM arvo.lease
            WHERE lease.token = named.lease AND lease.token <> 0
            ORDER BY lease.number DESC
            LIMIT 1
        ) AS newest
        WHERE NOT EXISTS (
            SELECT
            FROM arvo.lane
            INNER JOIN arvo.queue ON queue.queue = lane.queue
            WHERE lane.lane = newest.lane AND queue.guarded AND NOT arvo.may(queue.name, 'consume')
        )
        ORDER BY newest.lane, newest.token
    LOOP
        CONTINUE WHEN v_held.open = '{}';
        PERFORM pg_advisory_xact_lock(hashtext('arvo'), v_held.lane);
        SELECT head.* INTO STRICT v_head
        FROM arvo.lease AS head
        WHERE head.lane = v_held.lane
        ORDER BY head.number DESC
        LIMIT 1;
        INSERT INTO arvo.lease (
            slot, lane, number, token, worker, leased_at, expires_at, carried, deliveries,
            low_xid, high_xid, previous_snapshot, snapshot, last_xid, last_delivery,
            exhausted, open_from, sweep_at, ready_from, xids, keys, places
        )
        SELECT
            arvo.slot(), v_head.lane, v_head.number + 1, v_held.token, v_held.worker, v_now,
            greatest(v_now + p_for, v_head.expires_at), true,
            array_agg(kept.delivery ORDER BY kept.ordinal),
            v_held.low_xid, v_held.high_xid, v_head.previous_snapshot, v_head.snapshot,
            v_head.last_xid, v_head.last_delivery,
            v_head.exhausted, v_head.open_from,
            least(v_head.sweep_at, greatest(v_now + p_for, v_head.expires_at)),
            v_head.ready_from,
            CASE
                WHEN cardinality(v_held.xids) = 1 THEN v_held.xids
                ELSE array_agg(v_held.xids[kept.ordinal] ORDER BY kept.ordinal)
            END,
            CASE
                WHEN v_held.keys IS NOT NULL
                    THEN array_agg(v_held.keys[kept.ordinal] ORDER BY kept.ordinal)
            END,
            CASE
                WHEN v_held.places IS NOT NULL
                    THEN array_agg(v_held.places[kept.ordinal] ORDER BY kept.ordinal)
            END
        FROM unnest(v_held.deliveries) WITH ORDINALITY AS kept (delivery, ordinal)
        WHERE kept.delivery = ANY (v_held.open);
        v_lost := array_remove(v_lost, v_held.token);
        RETURN NEXT (
            v_held.token, true, greatest(v_now + p_for, v_head.expires_at), v_held.open
        )::arvo_v1.extended;
    END LOOP;

    RETURN QUERY
    SELECT DISTINCT listed.lease, false, NULL::timestamptz, NULL::bigint[]
    FROM unnest(v_lost) AS listed (lease)
    WHERE listed.lease IS NOT NULL;
END;
$extend$;

COMMENT ON FUNCTION arvo_v1.extend(bigint[], interval) IS
'Heartbeat: carries leases forward and tells which are lost.';

REVOKE ALL ON FUNCTION arvo_v1.extend(bigint[], interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.extend(bigint[], interval) TO arvo_worker;
