-- arvo.slot_pins(slot, until, limit) — what in a generation slot is still needed.
CREATE OR REPLACE FUNCTION arvo.slot_pins(p_slot smallint, p_until timestamptz, p_limit integer)
RETURNS SETOF arvo.pin
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $slot_pins$
-- p_until is when the generation was closed: none of its rows names a later time. Needed are
-- deliveries that nobody has claimed, those that are leased (the delivery or its lease row stands
-- here) and those that are parked. At most one of each kind per lane or queue, by index: cost grows
-- with the lanes, not with what is in them. A lease counts until it has lapsed and the lane was
-- swept, also when it is settled.
--
-- Not named here, because maintain() sees to them: deferred deliveries, which get the event itself
-- (arvo.carry_deferred), and idle lanes whose cursor stands here (arvo.move_idle). Dead letters hold
-- their events; a delivery that they point to is unclaimed, leased or deferred, or done.
--
--   Reads    arvo.lane, arvo.queue, arvo.lease by (lane, number), arvo.log by (lane, xid), arvo.parked
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
(
    SELECT NULL::bigint, found.kind, queue.name, lane.lane, found.delivery, found.at
    FROM arvo.lane
    INNER JOIN arvo.queue ON queue.queue = lane.queue
    CROSS JOIN LATERAL (
        SELECT lease AS head, lease.open_from
        FROM arvo.lease
        WHERE lease.lane = lane.lane
        ORDER BY lease.number DESC
        LIMIT 1
    ) AS newest
    CROSS JOIN LATERAL (
        SELECT 'unclaimed' AS kind, entry.delivery, entry.at
        FROM arvo.first_unclaimed(newest.head, p_slot, p_slot) AS entry
        UNION ALL
        (
            SELECT 'leased', held.deliveries[1], held.leased_at
            FROM arvo.lease AS held
            WHERE held.lane = lane.lane
            AND held.number >= newest.open_from
            AND held.token <> 0
            AND (
                held.slot = p_slot
                OR held.low_xid <= (
                    SELECT last.xid
                    FROM arvo.log AS last
                    WHERE last.slot = p_slot AND last.lane = lane.lane
                    ORDER BY last.xid DESC, last.delivery DESC
                    LIMIT 1
                )
            )
            ORDER BY held.number
            LIMIT 1
        )
    ) AS found
    WHERE NOT lane.retired
    LIMIT p_limit
)
UNION ALL
(
    SELECT NULL, 'parked', queue.name, first.lane, first.delivery, first.at
    FROM arvo.queue
    CROSS JOIN LATERAL (
        SELECT parked.lane, parked.delivery, parked.at
        FROM arvo.parked
        WHERE parked.queue = queue.queue AND parked.at <= p_until
        ORDER BY parked.at
        LIMIT 1
    ) AS first
    LIMIT p_limit
)
LIMIT p_limit;
$slot_pins$;

COMMENT ON FUNCTION arvo.slot_pins(smallint, timestamptz, integer) IS
'What in a generation slot is still needed, one example per kind and lane.';

REVOKE ALL ON FUNCTION arvo.slot_pins(smallint, timestamptz, integer) FROM PUBLIC;
