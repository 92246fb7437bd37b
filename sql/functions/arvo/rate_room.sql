-- arvo.rate_room(tally, limit, period, now) — how many may still start in this period.
CREATE OR REPLACE FUNCTION arvo.rate_room(
    p_tally bigint[],
    p_limit integer,
    p_period interval,
    p_now timestamptz
)
RETURNS integer
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $rate_room$
-- The tally has pairs: the number of a twentieth of the period, and how many started in it. What
-- counts are this piece and the twenty before it, more than a whole period: so no period, wherever it
-- begins, has more than p_limit. Pieces far ahead are of a shorter period that the queue had before.
-- A large number when there is no limit.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT CASE
           WHEN p_limit IS NULL THEN 2147483647
           ELSE greatest(
               p_limit - (
                   SELECT coalesce(sum(p_tally[entry.ordinal + 1]), 0)
                   FROM generate_series(1, cardinality(p_tally), 2) AS entry (ordinal)
                   CROSS JOIN LATERAL (
                       SELECT floor(extract(epoch FROM p_now) * 20 / extract(epoch FROM p_period))
                   ) AS present (piece)
                   WHERE p_tally[entry.ordinal] BETWEEN present.piece - 20 AND present.piece + 20
               ),
               0
           )::integer
       END;
$rate_room$;

COMMENT ON FUNCTION arvo.rate_room(bigint[], integer, interval, timestamptz) IS
'How many more may start now under a rate limit.';

REVOKE ALL ON FUNCTION arvo.rate_room(bigint[], integer, interval, timestamptz) FROM PUBLIC;
