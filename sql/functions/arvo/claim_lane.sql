-- arvo.claim_lane(lane, limit, worker, lease) — lease the next deliveries of one lane.
CREATE OR REPLACE FUNCTION arvo.claim_lane(
    p_lane integer,
    p_limit integer,
    p_worker text,
    p_lease interval
)
RETURNS SETOF arvo_v1.claimed
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $claim_lane$
-- The caller holds the lane. The newest lease row is the cursor: a window between two snapshots, and
-- the position reached in it. A row belongs to the window if its transaction is visible in the
-- newer snapshot and not in the older one, so a transaction that commits late is found, exactly
-- once, whatever its number; one that stays open blocks nobody; one that rolls back leaves no trace.
-- Order is by window, then transaction, then delivery. A claim that finds nothing writes nothing.
--
--   Reads    arvo.lease, arvo.log by (lane, xid, delivery), arvo.tombstone, arvo.queue, arvo.state
--   Writes   arvo.lease (one row); arvo.closure and arvo.tombstone for withdrawn deliveries
--   Locks    as arvo.sweep
--   Raises   RV902  the stored transaction numbers belong to another cluster
DECLARE
    v_now timestamptz := arvo.clock();
    v_slot smallint := arvo.slot();
    v_head arvo.lease;
    v_queue arvo.queue;
    v_open_from bigint;
    v_sweep_at timestamptz;
    v_expires_at timestamptz;
    v_token bigint;
    v_previous pg_snapshot;
    v_snapshot pg_snapshot;
    v_last_xid xid8;
    v_last_delivery bigint;
    v_from_xid xid8;
    v_from_delivery bigint;
    v_late xid8[];
    v_withdrawn boolean;
    v_handed_out boolean;
    v_leased boolean;
BEGIN
    SELECT queue.* INTO STRICT v_queue
    FROM arvo.lane
    INNER JOIN arvo.queue ON queue.queue = lane.queue
    WHERE lane.lane = p_lane;

    LOOP
        SELECT head.* INTO STRICT v_head
        FROM arvo.lease AS head
        WHERE head.lane = p_lane
        ORDER BY head.number DESC
        LIMIT 1;

        v_open_from := v_head.open_from;
        v_sweep_at := v_head.sweep_at;
        IF v_sweep_at <= v_now THEN
            v_open_from := arvo.sweep(v_head, 4096);
            -- Twice a second at most: in a busy lane some lease is always about to lapse.
            v_sweep_at := NULL;
            SELECT greatest(oldest.expires_at, v_now + interval '0.5 seconds') INTO v_sweep_at
            FROM arvo.lease AS oldest
            WHERE oldest.lane = p_lane AND oldest.number = v_open_from;
        END IF;

        v_expires_at := greatest(v_now + p_lease, v_head.expires_at);
        v_token := (nextval('arvo.lease_number'::regclass) << 12) | floor(random() * 4096)::bigint;
        v_withdrawn := EXISTS (SELECT FROM arvo.tombstone WHERE tombstone.lane = p_lane);

        FOR v_try IN 1..2 LOOP
            IF v_head.exhausted OR v_try = 2 THEN
                v_previous := v_head.snapshot;
                v_snapshot := arvo.window_snapshot();
                v_last_xid := '0';
                v_last_delivery := 0;
                IF pg_snapshot_xmax(v_snapshot) < pg_snapshot_xmax(v_previous) THEN
                    RAISE EXCEPTION 'transaction numbers are of another cluster'
                    USING ERRCODE = 'RV902',
                          DETAIL = format('lane %s was read up to transaction %s; this cluster is at %s.',
                                          p_lane, pg_snapshot_xmax(v_previous),
                                          pg_snapshot_xmax(v_snapshot)),
                          HINT = 'The database was restored into another cluster.';
                END IF;
            ELSE
                v_previous := v_head.previous_snapshot;
                v_snapshot := v_head.snapshot;
                v_last_xid := v_head.last_xid;
                v_last_delivery := v_head.last_delivery;
            END IF;

            -- Late transactions of the older snapshot come first, then everything that is newer.
            v_from_xid := pg_snapshot_xmax(v_previous);
            v_from_delivery := 0;
            v_late := '{}';
            IF v_last_xid >= v_from_xid THEN
                v_from_xid := v_last_xid;
                v_from_delivery := v_last_delivery;
            ELSE
                SELECT coalesce(array_agg(listed.xid), '{}') INTO v_late
                FROM pg_snapshot_xip(v_previous) AS listed (xid)
                WHERE pg_visible_in_snapshot(listed.xid, v_snapshot) AND listed.xid >= v_last_xid;
            END IF;

            RETURN QUERY
            WITH late AS (
                SELECT entry.*
                FROM unnest(v_late) AS listed (xid)
                CROSS JOIN LATERAL (
                    SELECT log.*
                    FROM arvo.log
                    WHERE log.lane = p_lane
                    AND log.xid = listed.xid
                    AND log.delivery > CASE WHEN listed.xid = v_last_xid THEN v_last_delivery ELSE 0 END
                    ORDER BY log.delivery
                    LIMIT p_limit
                ) AS entry
            ),

            newer AS (
                SELECT log.*
                FROM arvo.log
                WHERE log.lane = p_lane
                AND (log.xid, log.delivery) > (v_from_xid, v_from_delivery)
                AND log.xid < pg_snapshot_xmax(v_snapshot)
                AND pg_visible_in_snapshot(log.xid, v_snapshot)
                ORDER BY log.xid, log.delivery
                LIMIT p_limit
            ),

            batch AS MATERIALIZED (
                SELECT entry.*
                FROM (SELECT * FROM late UNION ALL SELECT * FROM newer) AS entry
                ORDER BY entry.xid, entry.delivery
                LIMIT p_limit
            ),

            leased AS (
                INSERT INTO arvo.lease (
                    slot, lane, number, token, worker, leased_at, expires_at, deliveries,
                    low_xid, high_xid, previous_snapshot, snapshot, last_xid, last_delivery,
                    exhausted, open_from, sweep_at
                )
                SELECT
                    v_slot,
                    p_lane,
                    v_head.number + 1,
                    v_token,
                    p_worker,
                    v_now,
                    v_expires_at,
                    taken.deliveries,
                    taken.low_xid,
                    taken.high_xid,
                    v_previous,
                    v_snapshot,
                    taken.high_xid,
                    taken.deliveries[cardinality(taken.deliveries)],
                    cardinality(taken.deliveries) < p_limit,
                    v_open_from,
                    least(v_sweep_at, v_expires_at)
                FROM (
                    SELECT
                        array_agg(batch.delivery ORDER BY batch.xid, batch.delivery) AS deliveries,
                        min(batch.xid) AS low_xid,
                        max(batch.xid) AS high_xid
                    FROM batch
                ) AS taken
                WHERE taken.deliveries IS NOT NULL
            )

            SELECT
                v_token,
                batch.delivery,
                v_queue.name,
                batch.attempt,
                v_expires_at,
                v_queue.expire_in,
                batch.event,
                batch.cause,
                state.data,
                CASE WHEN v_queue.stateful THEN coalesce(state.version, 0) END
            FROM (
                SELECT
                    taken.xid,
                    taken.delivery,
                    taken.attempt,
                    taken.cause,
                    -- a later delivery says where the event stands; asked for only when it is one
                    coalesce(taken.event, (
                        SELECT origin.event
                        FROM arvo.log AS origin
                        WHERE origin.lane = taken.origin_lane
                        AND origin.xid = taken.origin_xid
                        AND origin.delivery = taken.origin_delivery
                    )) AS event
                FROM batch AS taken
            ) AS batch
            LEFT JOIN arvo.state
                ON state.subject_digest = CASE
                    WHEN v_queue.stateful THEN arvo.subject_digest(batch.event ->> 'subject')
                END
            WHERE NOT v_withdrawn OR NOT EXISTS (
                SELECT
                FROM arvo.tombstone
                WHERE tombstone.lane = p_lane AND tombstone.delivery = batch.delivery
            )
            ORDER BY batch.xid, batch.delivery;
            v_handed_out := FOUND;
            v_leased := v_handed_out OR (
                v_withdrawn AND EXISTS (SELECT FROM arvo.lease WHERE lease.token = v_token)
            );
            -- A window that ended exactly at the limit leaves nothing: then open the next one now.
            EXIT WHEN v_leased OR v_head.exhausted;
        END LOOP;

        IF v_withdrawn AND v_leased THEN
            WITH met AS (
                DELETE FROM arvo.tombstone
                USING arvo.lease
                WHERE tombstone.lane = p_lane
                AND lease.token = v_token
                AND tombstone.delivery = ANY (lease.deliveries)
                RETURNING tombstone.delivery
            )

            INSERT INTO arvo.closure (slot, token, at, deliveries, outcomes, run_times)
            SELECT
                v_slot,
                v_token,
                v_now,
                array_agg(met.delivery),
                '{cancelled}',
                array_fill(NULL::integer, ARRAY[count(*)::integer])
            FROM met
            HAVING count(*) > 0;
        END IF;
        -- All of it was withdrawn: go on with the next.
        EXIT WHEN v_handed_out OR NOT v_leased;
    END LOOP;

    IF NOT v_leased AND v_open_from > v_head.open_from THEN
        INSERT INTO arvo.lease (
            slot, lane, number, token, worker, leased_at, expires_at, deliveries,
            previous_snapshot, snapshot, last_xid, last_delivery, exhausted,
            open_from, sweep_at
        )
        VALUES (
            v_slot, p_lane, v_head.number + 1, 0, p_worker, v_now, v_head.expires_at, '{}',
            v_head.previous_snapshot, v_head.snapshot, v_head.last_xid, v_head.last_delivery,
            v_head.exhausted, v_open_from, coalesce(v_sweep_at, 'infinity')
        );
    END IF;
END;
$claim_lane$;

COMMENT ON FUNCTION arvo.claim_lane(integer, integer, text, interval) IS
'Leases the next deliveries of a lane whose lock the caller holds.';

REVOKE ALL ON FUNCTION arvo.claim_lane(integer, integer, text, interval) FROM PUBLIC;
