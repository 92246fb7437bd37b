-- arvo_v1.maintain() — what no claim does on its own.
CREATE OR REPLACE FUNCTION arvo_v1.maintain()
RETURNS SETOF arvo_v1.maintained
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
AS $maintain$
-- Any number of sessions may call it; one at a time works, the others return at once. Promotes due
-- deliveries, takes back expired leases also in lanes that nobody claims from, sweeps away promoted
-- rows and old cursors, removes lapsed locks. Bounded: at most some thousand rows of each a call.
--
--   Reads    arvo.lane, arvo.lease, arvo.promotion, arvo.clock
--   Writes   as arvo.promote and arvo.sweep; arvo.lease, arvo.deferred, arvo.promotion,
--            arvo.state_lock
--   Locks    the maintainer's lock, the promoter's lock, each lane: tried, never waited for
--   Raises   RV005  the transaction is not READ COMMITTED
--            RV902  the stored transaction numbers are of another cluster
DECLARE
    v_now timestamptz := arvo.clock();
    v_lane integer;
    v_head arvo.lease;
    v_open_from bigint;
    v_sweep_at timestamptz;
    v_healed bigint := 0::bigint;
    v_count bigint;
    v_passed arvo.promotion;
BEGIN
    PERFORM arvo.require_read_committed('maintain');
    PERFORM arvo.require_home();
    IF NOT pg_try_advisory_xact_lock(hashtext('arvo'), -1) THEN
        RETURN;
    END IF;

    RETURN NEXT ('promoted', arvo.promote(5000))::arvo_v1.maintained;

    -- Only lanes where something can have lapsed are locked, and not many at a time: they are held
    -- until the end of the transaction.
    FOR v_lane IN
        SELECT lane.lane
        FROM arvo.lane
        CROSS JOIN LATERAL (
            SELECT newest.sweep_at
            FROM arvo.lease AS newest
            WHERE newest.lane = lane.lane
            ORDER BY newest.number DESC
            LIMIT 1
        ) AS head
        WHERE head.sweep_at <= v_now
        ORDER BY head.sweep_at
        LIMIT 32
    LOOP
        CONTINUE WHEN NOT pg_try_advisory_xact_lock(hashtext('arvo'), v_lane);
        SELECT head.* INTO STRICT v_head
        FROM arvo.lease AS head
        WHERE head.lane = v_lane
        ORDER BY head.number DESC
        LIMIT 1;
        CONTINUE WHEN v_head.sweep_at > v_now;
        v_open_from := arvo.sweep(v_head, 4096);
        CONTINUE WHEN v_open_from = v_head.open_from;
        v_healed := v_healed + (v_open_from - v_head.open_from);
        SELECT oldest.expires_at INTO v_sweep_at
        FROM arvo.lease AS oldest
        WHERE oldest.lane = v_lane AND oldest.number = v_open_from;
        INSERT INTO arvo.lease (
            slot, lane, number, token, leased_at, expires_at, deliveries,
            previous_snapshot, snapshot, last_xid, last_delivery, exhausted,
            open_from, sweep_at
        )
        VALUES (
            arvo.slot(), v_lane, v_head.number + 1, 0, v_now, v_head.expires_at, '{}',
            v_head.previous_snapshot, v_head.snapshot, v_head.last_xid, v_head.last_delivery,
            v_head.exhausted, v_open_from, coalesce(v_sweep_at, 'infinity')
        );
    END LOOP;
    RETURN NEXT ('healed', v_healed)::arvo_v1.maintained;

    SELECT head.* INTO STRICT v_passed
    FROM arvo.promotion AS head
    ORDER BY head.number DESC
    LIMIT 1;
    DELETE FROM arvo.deferred
    WHERE deferred.delivery IN (
        SELECT gone.delivery
        FROM arvo.deferred AS gone
        WHERE (gone.due, gone.delivery) <= (v_passed.due, v_passed.delivery)
        AND pg_visible_in_snapshot(gone.xid, v_passed.snapshot)
        ORDER BY gone.due, gone.delivery
        LIMIT 5000
    );
    GET DIAGNOSTICS v_count = ROW_COUNT;
    DELETE FROM arvo.promotion WHERE promotion.number < v_passed.number;
    RETURN NEXT ('swept', v_count)::arvo_v1.maintained;

    DELETE FROM arvo.state_lock
    WHERE state_lock.subject_digest IN (
        SELECT lapsed.subject_digest
        FROM arvo.state_lock AS lapsed
        WHERE lapsed.expires_at <= v_now - interval '1 hour'
        LIMIT 5000
        FOR UPDATE SKIP LOCKED
    );
    GET DIAGNOSTICS v_count = ROW_COUNT;
    RETURN NEXT ('unlocked', v_count)::arvo_v1.maintained;
END;
$maintain$;

COMMENT ON FUNCTION arvo_v1.maintain() IS
'Promotes, heals and sweeps what claims do not reach; any number of sessions may call it.';

REVOKE ALL ON FUNCTION arvo_v1.maintain() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.maintain() TO arvo_worker, arvo_operator;
