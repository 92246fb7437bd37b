-- arvo.next_due() — how long until something deferred becomes due, or a schedule fires.
CREATE OR REPLACE FUNCTION arvo.next_due()
RETURNS interval
LANGUAGE sql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $next_due$
-- For a worker that has nothing to do: it need not poll before then. Never negative; NULL when
-- nothing is deferred and no schedule waits. Rows that the promotion has passed are not looked at. A
-- fire that is due although the caller has just promoted is held by somebody: no hurry.
--
--   Reads    arvo.promotion, arvo.deferred by due time, arvo.clock; as arvo.next_fire
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT least(
    (
        SELECT greatest(waiting.due - arvo.clock(), interval '0')
        FROM (
            SELECT head.due, head.delivery
            FROM arvo.promotion AS head
            ORDER BY head.number DESC
            LIMIT 1
        ) AS passed
        CROSS JOIN LATERAL (
            SELECT deferred.due
            FROM arvo.deferred
            WHERE (deferred.due, deferred.delivery) > (passed.due, passed.delivery)
            ORDER BY deferred.due, deferred.delivery
            LIMIT 1
        ) AS waiting
    ),
    (
        SELECT
            CASE
                WHEN fire.wait > interval '0' THEN fire.wait
                ELSE interval '250 milliseconds'
            END
        FROM (SELECT arvo.next_fire() - arvo.clock() AS wait) AS fire
        WHERE fire.wait IS NOT NULL
    )
);
$next_due$;

COMMENT ON FUNCTION arvo.next_due() IS
'How long until a deferred delivery becomes due or a schedule fires; NULL when there is none.';

REVOKE ALL ON FUNCTION arvo.next_due() FROM PUBLIC;
