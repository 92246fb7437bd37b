-- arvo.rate_count(tally, count, period, now) — a tally, with some more that start now.
CREATE OR REPLACE FUNCTION arvo.rate_count(
    p_tally bigint[],
    p_count integer,
    p_period interval,
    p_now timestamptz
)
RETURNS bigint[]
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $rate_count$
-- Pieces that no longer count are dropped. Empty when there is no limit.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
WITH present AS (
    SELECT floor(extract(epoch FROM p_now) * 20 / extract(epoch FROM p_period))::bigint AS piece
),

counted AS (
    SELECT p_tally[entry.ordinal] AS piece, p_tally[entry.ordinal + 1] AS started
    FROM generate_series(1, cardinality(p_tally), 2) AS entry (ordinal)
    UNION ALL
    SELECT present.piece, p_count FROM present
),

kept AS (
    SELECT counted.piece, sum(counted.started)::bigint AS started
    FROM counted
    CROSS JOIN present
    WHERE counted.piece BETWEEN present.piece - 20 AND present.piece + 20
    GROUP BY counted.piece
)

SELECT CASE
           WHEN p_period IS NULL THEN '{}'
           ELSE (
               SELECT array_agg(pair.value ORDER BY kept.piece, pair.ordinal)
               FROM kept
               CROSS JOIN LATERAL
                   unnest(ARRAY[kept.piece, kept.started]) WITH ORDINALITY AS pair (value, ordinal)
           )
       END;
$rate_count$;

COMMENT ON FUNCTION arvo.rate_count(bigint[], integer, interval, timestamptz) IS
'Counts starts into the tally of a rate limit.';

REVOKE ALL ON FUNCTION arvo.rate_count(bigint[], integer, interval, timestamptz) FROM PUBLIC;
