-- arvo.next_lapse(lanes) — how long until a lease of some lanes may have lapsed.
CREATE OR REPLACE FUNCTION arvo.next_lapse(p_lanes integer[])
RETURNS interval
LANGUAGE sql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $next_lapse$
-- For a worker that was given nothing: when it is to look whether another one has died. What is leased
-- after it has looked is leased by somebody who was woken with it, or because something became due that
-- it waits for as well, or when it looks again by this. Half a second at least, which is how often a
-- lane is swept; NULL when nothing is leased. Of very many lanes, those that a call would claim first.
--
--   Reads    arvo.lease by (lane, number), arvo.clock
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT greatest(min(head.sweep_at) - arvo.clock(), interval '0.5 seconds')
FROM unnest(p_lanes[1:512]) AS asked (lane)
CROSS JOIN LATERAL (
    SELECT newest.sweep_at
    FROM arvo.lease AS newest
    WHERE newest.lane = asked.lane
    ORDER BY newest.number DESC
    LIMIT 1
) AS head
WHERE head.sweep_at < 'infinity'
HAVING count(*) > 0;
$next_lapse$;

COMMENT ON FUNCTION arvo.next_lapse(integer[]) IS
'How long until a lease of some lanes may have lapsed; NULL when nothing is leased there.';

REVOKE ALL ON FUNCTION arvo.next_lapse(integer[]) FROM PUBLIC;
