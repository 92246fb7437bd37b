-- arvo.rate_wait(tally, period, now) — how long until a rate limit lets one more start.
CREATE OR REPLACE FUNCTION arvo.rate_wait(p_tally bigint[], p_period interval, p_now timestamptz)
RETURNS interval
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $rate_wait$
-- Until the oldest piece that counts no longer does. Asked when there is no room.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT make_interval(secs => greatest(
    (
        (
            SELECT min(p_tally[entry.ordinal])
            FROM generate_series(1, cardinality(p_tally), 2) AS entry (ordinal)
            CROSS JOIN LATERAL (
                SELECT floor(extract(epoch FROM p_now) * 20 / extract(epoch FROM p_period))
            ) AS present (piece)
            WHERE p_tally[entry.ordinal] BETWEEN present.piece - 20 AND present.piece + 20
        ) + 21
    ) * extract(epoch FROM p_period) / 20 - extract(epoch FROM p_now),
    0.001
)::double precision);
$rate_wait$;

COMMENT ON FUNCTION arvo.rate_wait(bigint[], interval, timestamptz) IS
'How long until a full rate limit has room again.';

REVOKE ALL ON FUNCTION arvo.rate_wait(bigint[], interval, timestamptz) FROM PUBLIC;
