-- arvo_v1.subscriptions(queue, type) — who gets what.
CREATE OR REPLACE FUNCTION arvo_v1.subscriptions(
    p_queue text DEFAULT NULL,
    p_type text DEFAULT NULL
)
RETURNS SETOF arvo_v1.subscription
LANGUAGE sql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $subscriptions$
-- Of one queue, or all; those that match a type, or all.
--
--   Reads    arvo.subscription
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT subscription.queue, subscription.pattern, subscription.created_at
FROM arvo.subscription
WHERE (p_queue IS NULL OR subscription.queue = p_queue)
AND (p_type IS NULL OR p_type ~ subscription.expression)
ORDER BY subscription.queue COLLATE "C", subscription.pattern COLLATE "C";
$subscriptions$;

COMMENT ON FUNCTION arvo_v1.subscriptions(text, text) IS
'Subscriptions of a queue, or those that match a type, or all.';

REVOKE ALL ON FUNCTION arvo_v1.subscriptions(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.subscriptions(text, text)
TO arvo_worker, arvo_monitor, arvo_operator;
