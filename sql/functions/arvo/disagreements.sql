-- arvo.disagreements(queue) — options that living processes have registered differently.
CREATE OR REPLACE FUNCTION arvo.disagreements(p_queue text DEFAULT NULL)
RETURNS SETOF arvo.disagreement
LANGUAGE sql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $disagreements$
-- Of one queue, or of all. The last to register has its way; what the others asked for is not what
-- they have. A process that never checks in counts for a day after it registered. An option that a
-- process does not name is left as it is: no disagreement.
--
--   Reads    arvo.registration, arvo.worker, arvo.clock
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT
    registration.queue,
    asked.key,
    string_agg(
        format(
            '%s wants %s',
            left(to_json(registration.worker)::text, 80), left(asked.value::text, 80)
        ),
        ', ' ORDER BY registration.at, registration.worker
    )
FROM arvo.registration
CROSS JOIN LATERAL jsonb_each(registration.options) AS asked (key, value)
LEFT JOIN arvo.worker ON worker.worker = registration.worker
WHERE (p_queue IS NULL OR registration.queue = p_queue)
AND CASE
    WHEN worker.worker IS NULL THEN registration.at > arvo.clock() - interval '1 day'
    ELSE worker.seen_at + 3 * worker.rhythm > arvo.clock()
END
GROUP BY registration.queue, asked.key
HAVING count(DISTINCT asked.value) > 1
ORDER BY registration.queue, asked.key;
$disagreements$;

COMMENT ON FUNCTION arvo.disagreements(text) IS
'Options of queues that living processes have registered differently.';

REVOKE ALL ON FUNCTION arvo.disagreements(text) FROM PUBLIC;
