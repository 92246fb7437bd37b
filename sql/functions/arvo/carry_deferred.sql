-- arvo.carry_deferred(until, limit) — write events into deferred rows whose origin is to be emptied.
CREATE OR REPLACE FUNCTION arvo.carry_deferred(p_until timestamptz, p_limit integer)
RETURNS integer
LANGUAGE sql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $carry_deferred$
-- A deferred row refers to an event of the generation in use when it was written, so everything that
-- was deferred up to p_until, when a generation was closed, may refer to it. Returns how many rows.
--
--   Reads    arvo.log, by (lane, xid, delivery)
--   Writes   arvo.deferred
--   Locks    arvo.deferred rows; those that somebody holds are left out
--   Raises   nothing
WITH old AS MATERIALIZED (
    SELECT
        deferred.delivery, deferred.origin_delivery, deferred.origin_lane, deferred.origin_xid
    FROM arvo.deferred
    WHERE deferred.origin_delivery IS NOT NULL AND deferred.at <= p_until
    ORDER BY deferred.at
    LIMIT p_limit
    FOR NO KEY UPDATE SKIP LOCKED
),

carried AS (
    UPDATE arvo.deferred
    SET event = origin.event,
        origin_delivery = NULL,
        origin_lane = NULL,
        origin_xid = NULL,
        cause = jsonb_build_object('first', old.origin_delivery)
            || coalesce(deferred.cause, '{}'::jsonb)
    FROM old
    INNER JOIN arvo.log AS origin
        ON origin.lane = old.origin_lane
        AND origin.xid = old.origin_xid
        AND origin.delivery = old.origin_delivery
    WHERE deferred.delivery = old.delivery
    RETURNING deferred.delivery
)

SELECT count(*)::integer FROM carried;
$carry_deferred$;

COMMENT ON FUNCTION arvo.carry_deferred(timestamptz, integer) IS
'Writes the event itself into old deferred rows; returns how many.';

REVOKE ALL ON FUNCTION arvo.carry_deferred(timestamptz, integer) FROM PUBLIC;
