-- arvo.may(name, right) — whether the caller may do something with a queue.
CREATE OR REPLACE FUNCTION arvo.may(p_name text, p_right text)
RETURNS boolean
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $may$
-- dispatch, consume and operate are open to everybody who may call the functions, until one guard that
-- covers the name closes them; then one of the guards must name a role of the caller's. Guards add up.
-- A claim with a star asks for each queue: so what arvo.covers says is said in a form that indexes know.
--
--   Reads    arvo.queue_guard by (may, queue), and those with a star; as arvo.is_one_of
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_roles text[];
BEGIN
    SELECT array_agg(DISTINCT member.role) FILTER (WHERE member.role IS NOT NULL) INTO v_roles
    FROM (
        SELECT exact.roles
        FROM arvo.queue_guard AS exact
        WHERE exact.may = p_right AND exact.queue = p_name
        UNION ALL
        SELECT wide.roles
        FROM arvo.queue_guard AS wide
        WHERE wide.may = p_right
        AND wide.queue LIKE '%*'
        AND starts_with(p_name, left(wide.queue, -1))
    ) AS guard
    LEFT JOIN LATERAL unnest(guard.roles) AS member (role) ON true
    HAVING count(*) > 0;
    RETURN NOT FOUND OR arvo.is_one_of(coalesce(v_roles, '{}'));
END;
$may$;

COMMENT ON FUNCTION arvo.may(text, text) IS
'Whether the caller may dispatch to a queue, consume it or operate it.';

REVOKE ALL ON FUNCTION arvo.may(text, text) FROM PUBLIC;
