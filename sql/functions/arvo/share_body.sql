-- arvo.share_body(items) — which copies of a published event refer to the first one.
CREATE OR REPLACE FUNCTION arvo.share_body(p_items arvo.arrival[])
RETURNS arvo.arrival[]
LANGUAGE plpgsql
IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $share_body$
-- The first copy that goes into the log at once carries the event; later copies name it as their
-- origin. Copies before it, and all when none goes in at once, carry the event themselves.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_at integer;
    v_first integer;
BEGIN
    FOR v_at, v_first IN
        SELECT later.ordinal, first.ordinal
        FROM (
            SELECT item.given, min(item.ordinal) AS ordinal
            FROM unnest(p_items) AS item
            WHERE item.outcome IS NULL AND item.after <= interval '0'
            GROUP BY item.given
        ) AS first
        INNER JOIN unnest(p_items) AS later
            ON later.given = first.given AND later.ordinal > first.ordinal
    LOOP
        p_items[v_at].origin := v_first;
    END LOOP;
    RETURN p_items;
END;
$share_body$;

COMMENT ON FUNCTION arvo.share_body(arvo.arrival[]) IS
'Names the copy that carries the event for the further copies of it.';

REVOKE ALL ON FUNCTION arvo.share_body(arvo.arrival[]) FROM PUBLIC;
