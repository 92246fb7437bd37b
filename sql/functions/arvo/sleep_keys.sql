-- arvo.sleep_keys(queues) — what a sleeper registers under.
CREATE OR REPLACE FUNCTION arvo.sleep_keys(p_queues text[])
RETURNS integer[]
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $sleep_keys$
-- Second halves of the advisory locks (hashtext('arvo_wake'), key): 0 stands for any sleeper, 1 for
-- one that minds every queue, 2 for one that minds queues of the broker's own, the hash of its name
-- for a queue. A name that ends in * is 1, or 2 when it begins with "arvo.". More than 32 names are
-- 1: locks of a server are few, and a wake-up for nothing costs one look.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT coalesce(array_agg(DISTINCT keys.key ORDER BY keys.key), '{}')
FROM (
    SELECT 0 AS key
    WHERE cardinality(p_queues) > 0
    UNION ALL
    SELECT
        CASE
            WHEN cardinality(p_queues) > 32 THEN 1
            WHEN NOT asked.name LIKE '%*' THEN hashtext(asked.name)
            WHEN starts_with(asked.name, 'arvo.') THEN 2
            ELSE 1
        END
    FROM unnest(p_queues) AS asked (name)
    WHERE asked.name IS NOT NULL
) AS keys;
$sleep_keys$;

COMMENT ON FUNCTION arvo.sleep_keys(text[]) IS
'Keys of the advisory locks of a sleeper that waits for the named queues.';

REVOKE ALL ON FUNCTION arvo.sleep_keys(text[]) FROM PUBLIC;
