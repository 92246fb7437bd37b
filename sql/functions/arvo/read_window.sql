-- arvo.read_window(head, limit, upto) — the next rows of a lane's log.
CREATE OR REPLACE FUNCTION arvo.read_window(
    p_head arvo.lease,
    p_limit integer,
    p_upto pg_snapshot DEFAULT NULL
)
RETURNS arvo.reading
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $read_window$
-- p_head is the newest lease row of a lane that the caller holds: a window between two snapshots, and
-- the position reached in it. A row belongs to the window if its transaction is visible in the newer
-- snapshot and not in the older one, so a transaction that commits late is found, exactly once,
-- whatever its number; one that stays open blocks nobody; one that rolls back leaves no trace. When
-- the window has been read to its end, the next one is opened: up to now, or up to p_upto. Order is
-- by window, then transaction, then delivery. An empty batch means that the cursor stays where it is.
--
--   Reads    arvo.log by (lane, xid, delivery)
--   Writes   nothing
--   Locks    nothing
--   Raises   RV902  the stored transaction numbers belong to another cluster
DECLARE
    v_reading arvo.reading;
    v_from_xid xid8;
    v_from_delivery bigint;
    v_late xid8[];
    v_count integer;
BEGIN
    FOR v_try IN 1..2 LOOP
        IF p_head.exhausted OR v_try = 2 THEN
            v_reading := (
                '{}', p_head.snapshot, coalesce(p_upto, arvo.window_snapshot()), '0', 0, NULL
            )::arvo.reading;
            -- It may be older than a window that was opened while it was on its way.
            IF p_upto IS NOT NULL AND (
                p_upto::text = p_head.snapshot::text
                OR pg_snapshot_xmax(p_upto) < pg_snapshot_xmax(p_head.snapshot)
            ) THEN
                RETURN v_reading;
            END IF;
            IF pg_snapshot_xmax(v_reading.snapshot) < pg_snapshot_xmax(v_reading.previous_snapshot)
            THEN
                RAISE EXCEPTION 'transaction numbers are of another cluster'
                USING ERRCODE = 'RV902',
                      DETAIL = format(
                          'lane %s was read up to transaction %s; this cluster is at %s.',
                          p_head.lane, pg_snapshot_xmax(v_reading.previous_snapshot),
                          pg_snapshot_xmax(v_reading.snapshot)
                      ),
                      HINT = 'The database was restored into another cluster: see rebase().';
            END IF;
        ELSE
            v_reading := (
                '{}', p_head.previous_snapshot, p_head.snapshot, p_head.last_xid,
                p_head.last_delivery, NULL
            )::arvo.reading;
        END IF;

        -- Late transactions of the older snapshot come first, then everything that is newer.
        v_from_xid := pg_snapshot_xmax(v_reading.previous_snapshot);
        v_from_delivery := 0;
        v_late := NULL;
        IF v_reading.last_xid >= v_from_xid THEN
            v_from_xid := v_reading.last_xid;
            v_from_delivery := v_reading.last_delivery;
        ELSIF pg_snapshot_xmin(v_reading.previous_snapshot) < v_from_xid THEN
            SELECT array_agg(listed.xid) INTO v_late
            FROM pg_snapshot_xip(v_reading.previous_snapshot) AS listed (xid)
            WHERE pg_visible_in_snapshot(listed.xid, v_reading.snapshot)
            AND listed.xid >= v_reading.last_xid;
        END IF;

        IF v_late IS NOT NULL THEN
            SELECT coalesce(array_agg(taken.entry ORDER BY taken.xid, taken.delivery), '{}')
            INTO v_reading.batch
            FROM (
                SELECT found.entry, found.xid, found.delivery
                FROM unnest(v_late) AS listed (xid)
                CROSS JOIN LATERAL (
                    SELECT log AS entry, log.xid, log.delivery
                    FROM arvo.log
                    WHERE log.lane = p_head.lane
                    AND log.xid = listed.xid
                    AND log.delivery > CASE
                        WHEN listed.xid = v_reading.last_xid THEN v_reading.last_delivery ELSE 0
                    END
                    ORDER BY log.delivery
                    LIMIT p_limit
                ) AS found
                ORDER BY found.xid, found.delivery
                LIMIT p_limit
            ) AS taken;
        END IF;
        IF cardinality(v_reading.batch) < p_limit THEN
            SELECT v_reading.batch || coalesce(
                array_agg(taken.entry ORDER BY taken.xid, taken.delivery), '{}'
            )
            INTO v_reading.batch
            FROM (
                SELECT log AS entry, log.xid, log.delivery
                FROM arvo.log
                WHERE log.lane = p_head.lane
                AND (log.xid, log.delivery) > (v_from_xid, v_from_delivery)
                AND log.xid < pg_snapshot_xmax(v_reading.snapshot)
                AND pg_visible_in_snapshot(log.xid, v_reading.snapshot)
                ORDER BY log.xid, log.delivery
                LIMIT p_limit - cardinality(v_reading.batch)
            ) AS taken;
        END IF;
        -- A window that ended exactly at the limit leaves nothing: then open the next one now.
        EXIT WHEN v_reading.batch <> '{}' OR p_head.exhausted;
    END LOOP;

    v_count := cardinality(v_reading.batch);
    IF v_count > 0 THEN
        v_reading.last_xid := v_reading.batch[v_count].xid;
        v_reading.last_delivery := v_reading.batch[v_count].delivery;
        v_reading.exhausted := v_count < p_limit;
    END IF;
    RETURN v_reading;
END;
$read_window$;

COMMENT ON FUNCTION arvo.read_window(arvo.lease, integer, pg_snapshot) IS
'The next rows of a lane''s log after its cursor, and where the cursor stands then.';

REVOKE ALL ON FUNCTION arvo.read_window(arvo.lease, integer, pg_snapshot) FROM PUBLIC;
