-- arvo.heal(head) — sweep a lane when that can find something.
CREATE OR REPLACE FUNCTION arvo.heal(p_head arvo.lease)
RETURNS arvo.lease
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $heal$
-- p_head is the newest row of a lane that the caller holds; so is its queue's home lane, when the
-- queue is gated. Returns it with open_from and sweep_at as the next row is to have them. The sweep
-- itself writes no lease row, so the head stays the head.
--
--   Reads    arvo.lease by (lane, number), arvo.clock
--   Writes   as arvo.sweep
--   Locks    as arvo.sweep
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
BEGIN
    IF p_head.sweep_at <= v_now THEN
        p_head.open_from := arvo.sweep(p_head, 4096);
        -- Twice a second at most: in a busy lane some lease is always about to lapse.
        p_head.sweep_at := 'infinity';
        SELECT greatest(oldest.expires_at, v_now + interval '0.5 seconds') INTO p_head.sweep_at
        FROM arvo.lease AS oldest
        WHERE oldest.lane = p_head.lane AND oldest.number = p_head.open_from;
        p_head.sweep_at := coalesce(p_head.sweep_at, 'infinity');
    END IF;
    RETURN p_head;
END;
$heal$;

COMMENT ON FUNCTION arvo.heal(arvo.lease) IS
'Takes back expired leases of a lane, and returns its head with the bounds that follow.';

REVOKE ALL ON FUNCTION arvo.heal(arvo.lease) FROM PUBLIC;
