-- arvo_v1.operations(queue, since, limit) — what operators did.
CREATE OR REPLACE FUNCTION arvo_v1.operations(
    p_queue text DEFAULT NULL,
    p_since timestamptz DEFAULT NULL,
    p_limit integer DEFAULT 100
)
RETURNS SETOF arvo_v1.operation
LANGUAGE sql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $operations$
-- The newest first. p_queue is meant as it was given then, also a name that ends in *. What
-- operators wrote into events, or looked for in them, is shown to operators only.
--
--   Reads    arvo.operation
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT
    operation.number,
    operation.at,
    operation.by,
    operation.verb,
    operation.queue,
    CASE
        WHEN arvo.is_one_of(ARRAY['arvo_operator']) THEN operation.details
        ELSE operation.details - '{edit,data,path,text}'::text[]
    END,
    operation.touched,
    operation.role
FROM arvo.operation
WHERE (p_queue IS NULL OR operation.queue = p_queue)
AND (p_since IS NULL OR operation.at >= p_since)
ORDER BY operation.number DESC
LIMIT CASE WHEN p_limit < 0 THEN 0 ELSE p_limit END;
$operations$;

COMMENT ON FUNCTION arvo_v1.operations(text, timestamptz, integer) IS
'The audit of what operators did, newest first.';

REVOKE ALL ON FUNCTION arvo_v1.operations(text, timestamptz, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.operations(
    text, timestamptz, integer
) TO arvo_monitor, arvo_operator;
