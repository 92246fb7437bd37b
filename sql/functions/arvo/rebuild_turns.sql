-- arvo.rebuild_turns(queue) — start the keys of a queue anew, from what is leased.
CREATE OR REPLACE FUNCTION arvo.rebuild_turns(p_queue arvo.queue)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $rebuild_turns$
-- When a queue's policy, keys or limits change. What was parked is delivered again, in order, so that
-- it meets the new rules; nothing is charged. What of it was withdrawn is closed. Places that the new
-- policy does not give are forgotten. p_queue is the row with the new rules. Returns how many were
-- delivered again.
--
--   Reads    arvo.lane, arvo.lease, arvo.closure, arvo.log, arvo.clock, arvo.slot
--   Writes   arvo.parked, arvo.ready, arvo.turn, arvo.singleton, arvo.closure; as arvo.write_lease,
--            arvo.withdraw and arvo.again
--   Locks    as arvo.again; the caller holds all lanes of the queue
--   Raises   nothing
DECLARE
    v_lane integer;
    v_batch arvo.log[];
    v_entry arvo.log;
    v_lease arvo.lease;
    v_parked bigint := 0::bigint;
BEGIN
    FOR v_lane, v_batch IN
        SELECT parked.lane, array_agg(entry.entry ORDER BY parked.place)
        FROM (
            -- Small leases: settlements and histories look through all of one.
            SELECT line.*, (row_number() OVER (PARTITION BY line.lane ORDER BY line.place) - 1) / 500 AS chunk
            FROM arvo.parked AS line
            WHERE line.queue = p_queue.queue
        ) AS parked
        CROSS JOIN LATERAL (
            SELECT log AS entry
            FROM arvo.log
            WHERE log.lane = parked.lane
            AND log.xid = parked.xid
            AND log.delivery = parked.delivery
            LIMIT 1
        ) AS entry
        GROUP BY parked.lane, parked.chunk
        ORDER BY parked.lane, parked.chunk
    LOOP
        v_lease := arvo.write_lease(arvo.head_of(v_lane), NULL, interval '1 second', v_batch);
        IF EXISTS (SELECT FROM arvo.tombstone WHERE tombstone.lane = v_lane) THEN
            v_batch := arvo.withdraw(p_queue, v_lease, v_batch);
            CONTINUE WHEN v_batch = '{}';
        END IF;
        INSERT INTO arvo.closure (slot, token, at, deliveries, outcomes, run_times)
        VALUES (
            arvo.slot(), v_lease.token, arvo.clock(),
            ARRAY(SELECT entry.delivery FROM unnest(v_batch) AS entry), '{released}',
            array_fill(NULL::integer, ARRAY[cardinality(v_batch)])
        );
        FOREACH v_entry IN ARRAY v_batch LOOP
            PERFORM arvo.again(
                v_entry, v_entry.attempt, NULL,
                coalesce(v_entry.cause, '{}'::jsonb) || jsonb_build_object(
                    'delivery', v_entry.delivery, 'outcome', 'released', 'reason', 'new_options'
                )
            );
        END LOOP;
        v_parked := v_parked + cardinality(v_batch)::bigint;
    END LOOP;
    DELETE FROM arvo.parked WHERE parked.queue = p_queue.queue;
    DELETE FROM arvo.ready WHERE ready.queue = p_queue.queue;
    DELETE FROM arvo.turn WHERE turn.queue = p_queue.queue;
    DELETE FROM arvo.singleton
    WHERE singleton.queue = p_queue.queue
    AND singleton.kind <> ALL (
        CASE p_queue.policy
            WHEN 'short' THEN '{queued}'::text[]
            WHEN 'stately' THEN '{queued,retry}'
            WHEN 'exclusive' THEN '{any}'
            ELSE '{}'
        END
    );
    IF NOT p_queue.gated THEN
        RETURN v_parked;
    END IF;

    WITH open AS MATERIALIZED (
        SELECT held.keys[array_position(held.deliveries, leased.delivery)] AS key
        FROM arvo.lane
        CROSS JOIN LATERAL (
            SELECT newest.open_from
            FROM arvo.lease AS newest
            WHERE newest.lane = lane.lane
            ORDER BY newest.number DESC
            LIMIT 1
        ) AS head
        INNER JOIN arvo.lease AS held
            ON held.lane = lane.lane AND held.number >= head.open_from AND held.token <> 0
        CROSS JOIN LATERAL
            unnest(arvo.open_deliveries(held.token, held.deliveries)) AS leased (delivery)
        WHERE lane.queue = p_queue.queue
        AND NOT EXISTS (
            SELECT
            FROM arvo.lease AS newer
            WHERE newer.token = held.token AND newer.number > held.number
        )
    )

    INSERT INTO arvo.turn (queue, key, number, active, waiting, upto, ready, tally, at)
    SELECT
        p_queue.queue, counted.key, nextval('arvo.turn_number'::regclass), counted.active, 0, 0,
        false, '{}', arvo.clock()
    FROM (
        SELECT open.key, count(*)::integer AS active
        FROM open
        WHERE open.key IS NOT NULL
        GROUP BY open.key
        UNION ALL
        SELECT 0, count(*)::integer FROM open
    ) AS counted;
    RETURN v_parked;
END;
$rebuild_turns$;

COMMENT ON FUNCTION arvo.rebuild_turns(arvo.queue) IS
'Starts the keys of a queue anew when its rules change: counts what is leased, delivers again what was parked.';

REVOKE ALL ON FUNCTION arvo.rebuild_turns(arvo.queue) FROM PUBLIC;
