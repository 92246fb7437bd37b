-- arvo.write_lease(head, worker, lease, batch, keys, places) — write the lease of a batch.
CREATE OR REPLACE FUNCTION arvo.write_lease(
    p_head arvo.lease,
    p_worker text,
    p_lease interval,
    p_batch arvo.log[],
    p_keys bigint[] DEFAULT NULL,
    p_places bigint[] DEFAULT NULL
)
RETURNS arvo.lease
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $write_lease$
-- p_head is the newest row of a lane that the caller holds, its cursor moved on. Expiry never
-- decreases along a lane, so that the oldest open lease is the first to lapse. Of a batch with keys
-- p_head names the strays; otherwise they are those of an older row. Returns the new row.
--
--   Reads    arvo.clock, arvo.generation
--   Writes   arvo.lease (one row)
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
    v_xids xid8[];
    v_low xid8;
    v_high xid8;
    v_deliveries bigint[];
BEGIN
    IF cardinality(p_batch) = 1 THEN
        v_deliveries := ARRAY[p_batch[1].delivery];
        v_low := p_batch[1].xid;
        v_high := v_low;
    ELSE
        SELECT
            array_agg(taken.delivery ORDER BY taken.ordinal),
            array_agg(taken.xid ORDER BY taken.ordinal),
            min(taken.xid),
            max(taken.xid)
        INTO v_deliveries, v_xids, v_low, v_high
        FROM (
            SELECT entry.delivery, entry.xid, row_number() OVER () AS ordinal
            FROM unnest(p_batch) AS entry
        ) AS taken;
    END IF;
    IF v_low = v_high THEN
        v_xids := ARRAY[v_low];
    END IF;

    INSERT INTO arvo.lease AS written (
        slot, lane, number, token, worker, leased_at, expires_at, carried, deliveries,
        low_xid, high_xid, previous_snapshot, snapshot, last_xid, last_delivery,
        exhausted, open_from, sweep_at, xids, keys, places, ready_from, strays
    )
    VALUES (
        (SELECT generation.slot FROM arvo.generation ORDER BY generation.number DESC LIMIT 1),
        p_head.lane,
        p_head.number + 1,
        (nextval('arvo.lease_number'::regclass) << 12) | floor(random() * 4096)::bigint,
        p_worker,
        v_now,
        greatest(v_now + p_lease, p_head.expires_at),
        false,
        v_deliveries,
        v_low,
        v_high,
        p_head.previous_snapshot,
        p_head.snapshot,
        p_head.last_xid,
        p_head.last_delivery,
        p_head.exhausted,
        p_head.open_from,
        least(p_head.sweep_at, greatest(v_now + p_lease, p_head.expires_at)),
        v_xids,
        p_keys,
        p_places,
        p_head.ready_from,
        CASE WHEN p_keys IS NOT NULL THEN p_head.strays END
    )
    RETURNING written.* INTO p_head;
    RETURN p_head;
END;
$write_lease$;

COMMENT ON FUNCTION arvo.write_lease(arvo.lease, text, interval, arvo.log[], bigint[], bigint[]) IS
'Leases a batch of deliveries: the next row of their lane''s ledger.';

REVOKE ALL ON FUNCTION
arvo.write_lease(arvo.lease, text, interval, arvo.log[], bigint[], bigint[]) FROM PUBLIC;
