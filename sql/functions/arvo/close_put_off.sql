-- arvo.close_put_off(lease, batch, put_off) — close what a rate limit has put off.
CREATE OR REPLACE FUNCTION arvo.close_put_off(
    p_lease arvo.lease,
    p_batch arvo.log[],
    p_put_off bigint[]
)
RETURNS arvo.log[]
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $close_put_off$
-- Their further deliveries have been written; the journal calls these snoozed. Returns the others, in
-- their order (unnest keeps it).
--
--   Reads    arvo.clock, arvo.slot
--   Writes   arvo.closure
--   Locks    nothing
--   Raises   nothing
BEGIN
    INSERT INTO arvo.closure (slot, token, at, deliveries, outcomes, run_times)
    SELECT
        arvo.slot(), p_lease.token, arvo.clock(), array_agg(entry.delivery), '{snoozed}',
        array_fill(NULL::integer, ARRAY[count(*)::integer])
    FROM unnest(p_batch) AS entry
    WHERE entry.delivery = ANY (p_put_off)
    HAVING count(*) > 0;
    RETURN ARRAY(
        SELECT entry FROM unnest(p_batch) AS entry WHERE entry.delivery <> ALL (p_put_off)
    );
END;
$close_put_off$;

COMMENT ON FUNCTION arvo.close_put_off(arvo.lease, arvo.log[], bigint[]) IS
'Closes deliveries of a fresh lease that a rate limit has put off; returns the others.';

REVOKE ALL ON FUNCTION arvo.close_put_off(arvo.lease, arvo.log[], bigint[]) FROM PUBLIC;
