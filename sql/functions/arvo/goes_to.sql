-- arvo.goes_to(events, ignore_domain, subscribers) — the queues that events would go to.
CREATE OR REPLACE FUNCTION arvo.goes_to(
    p_events jsonb[],
    p_ignore_domain boolean DEFAULT false,
    p_subscribers boolean DEFAULT true
)
RETURNS text[]
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $goes_to$
-- As arvo.append routes them; what is published goes to every queue that subscribes, or, without
-- p_subscribers, to none that its publisher has named.
--
--   Reads    arvo.subscription
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
WITH routed AS (
    SELECT
        item.event ->> 'type' AS type,
        CASE
            WHEN NOT p_ignore_domain AND item.event ->> 'domain' IS NOT NULL
                THEN 'arvo.domain.' || (item.event ->> 'domain')
            ELSE coalesce(item.event ->> 'to', item.event ->> 'type')
        END AS name
    FROM unnest(p_events) AS item (event)
)

SELECT coalesce(array_agg(DISTINCT met.name), '{}')
FROM (
    SELECT routed.name
    FROM routed
    WHERE routed.name <> 'arvo.publish'
    UNION ALL
    SELECT subscription.queue
    FROM routed
    INNER JOIN arvo.subscription ON routed.type ~ subscription.expression
    WHERE p_subscribers AND routed.name = 'arvo.publish'
) AS met;
$goes_to$;

COMMENT ON FUNCTION arvo.goes_to(jsonb[], boolean, boolean) IS
'Names of the queues that events would be routed to.';

REVOKE ALL ON FUNCTION arvo.goes_to(jsonb[], boolean, boolean) FROM PUBLIC;
