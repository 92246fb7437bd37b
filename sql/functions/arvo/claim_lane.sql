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
--   Writes   arvo.lease (one row); as arvo.withdraw
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
    v_batch arvo.log[];
    v_count integer;
BEGIN
    SELECT queue.* INTO STRICT v_queue
    FROM arvo.lane
    INNER JOIN arvo.queue ON queue.queue = lane.queue
    WHERE lane.lane = p_lane;

    -- Once, unless everything that was leased turns out to be withdrawn.
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

        FOR v_try IN 1..2 LOOP
            IF v_head.exhausted OR v_try = 2 THEN
                v_previous := v_head.snapshot;
                v_snapshot := arvo.window_snapshot();
                v_last_xid := '0';
                v_last_delivery := 0;
                IF pg_snapshot_xmax(v_snapshot) < pg_snapshot_xmax(v_previous) THEN
                    RAISE EXCEPTION 'transaction numbers are of another cluster'
                    USING ERRCODE = 'RV902',
                          DETAIL = format(
                              'lane %s was read up to transaction %s; this cluster is at %s.',
                              p_lane, pg_snapshot_xmax(v_previous), pg_snapshot_xmax(v_snapshot)
                          ),
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

            v_batch := '{}';
            IF v_late <> '{}' THEN
                SELECT coalesce(array_agg(taken.entry ORDER BY taken.xid, taken.delivery), '{}')
                INTO v_batch
                FROM (
                    SELECT found.entry, found.xid, found.delivery
                    FROM unnest(v_late) AS listed (xid)
                    CROSS JOIN LATERAL (
                        SELECT log AS entry, log.xid, log.delivery
                        FROM arvo.log
                        WHERE log.lane = p_lane
                        AND log.xid = listed.xid
                        AND log.delivery > CASE
                            WHEN listed.xid = v_last_xid THEN v_last_delivery ELSE 0
                        END
                        ORDER BY log.delivery
                        LIMIT p_limit
                    ) AS found
                    ORDER BY found.xid, found.delivery
                    LIMIT p_limit
                ) AS taken;
            END IF;
            IF cardinality(v_batch) < p_limit THEN
                SELECT v_batch || coalesce(
                    array_agg(taken.entry ORDER BY taken.xid, taken.delivery), '{}'
                )
                INTO v_batch
                FROM (
                    SELECT log AS entry, log.xid, log.delivery
                    FROM arvo.log
                    WHERE log.lane = p_lane
                    AND (log.xid, log.delivery) > (v_from_xid, v_from_delivery)
                    AND log.xid < pg_snapshot_xmax(v_snapshot)
                    AND pg_visible_in_snapshot(log.xid, v_snapshot)
                    ORDER BY log.xid, log.delivery
                    LIMIT p_limit - cardinality(v_batch)
                ) AS taken;
            END IF;
            -- A window that ended exactly at the limit leaves nothing: then open the next one now.
            EXIT WHEN v_batch <> '{}' OR v_head.exhausted;
        END LOOP;

        v_count := cardinality(v_batch);
        IF v_count = 0 THEN
            -- What the sweep found out is worth a row; the cursor stays where it is.
            IF v_open_from > v_head.open_from THEN
                INSERT INTO arvo.lease (
                    slot, lane, number, token, worker, leased_at, expires_at, deliveries,
                    previous_snapshot, snapshot, last_xid, last_delivery, exhausted,
                    open_from, sweep_at
                )
                VALUES (
                    v_slot, p_lane, v_head.number + 1, 0, p_worker, v_now, v_head.expires_at, '{}',
                    v_head.previous_snapshot, v_head.snapshot, v_head.last_xid,
                    v_head.last_delivery, v_head.exhausted,
                    v_open_from, coalesce(v_sweep_at, 'infinity')
                );
            END IF;
            RETURN;
        END IF;

        v_expires_at := greatest(v_now + p_lease, v_head.expires_at);
        v_token := (nextval('arvo.lease_number'::regclass) << 12) | floor(random() * 4096)::bigint;
        INSERT INTO arvo.lease (
            slot, lane, number, token, worker, leased_at, expires_at, deliveries,
            low_xid, high_xid, previous_snapshot, snapshot, last_xid, last_delivery,
            exhausted, open_from, sweep_at
        )
        VALUES (
            v_slot, p_lane, v_head.number + 1, v_token, p_worker, v_now, v_expires_at,
            ARRAY(SELECT taken.delivery FROM unnest(v_batch) AS taken),
            v_batch[1].xid, v_batch[v_count].xid, v_previous, v_snapshot,
            v_batch[v_count].xid, v_batch[v_count].delivery,
            v_count < p_limit, v_open_from, least(v_sweep_at, v_expires_at)
        );

        IF EXISTS (SELECT FROM arvo.tombstone WHERE tombstone.lane = p_lane) THEN
            v_batch := arvo.withdraw(p_lane, v_token, v_batch);
        END IF;
        EXIT WHEN v_batch <> '{}';
    END LOOP;

    IF v_queue.stateful THEN
        RETURN QUERY
        SELECT
            v_token, taken.delivery, v_queue.name, taken.attempt, v_expires_at, v_queue.expire_in,
            whole.event, taken.cause, state.data, coalesce(state.version, 0)
        FROM unnest(v_batch) AS taken
        CROSS JOIN LATERAL (SELECT arvo.event_of(taken) AS event) AS whole
        LEFT JOIN arvo.state
            ON state.subject_digest = arvo.subject_digest(whole.event ->> 'subject');
    ELSE
        RETURN QUERY
        SELECT
            v_token, taken.delivery, v_queue.name, taken.attempt, v_expires_at, v_queue.expire_in,
            CASE WHEN taken.event IS NULL THEN arvo.event_of(taken) ELSE taken.event END,
            taken.cause, NULL::jsonb, NULL::bigint
        FROM unnest(v_batch) AS taken;
    END IF;
END;
$claim_lane$;

COMMENT ON FUNCTION arvo.claim_lane(integer, integer, text, interval) IS
'Leases the next deliveries of a lane whose lock the caller holds.';

REVOKE ALL ON FUNCTION arvo.claim_lane(integer, integer, text, interval) FROM PUBLIC;
