-- arvo.retry_delay(delay, backoff, max, attempt, chance) — how long to wait before the next attempt.
CREATE OR REPLACE FUNCTION arvo.retry_delay(
    p_delay interval,
    p_backoff boolean,
    p_max interval,
    p_attempt integer,
    p_chance double precision
)
RETURNS interval
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $retry_delay$
-- Without back-off: p_delay. With back-off, after attempt n failed:
--     max(p_delay, 1 s) × 2^(min(n, 16) - 1) × (1 + p_chance)     with p_chance in [0, 1)
-- and never more than p_max. It is the multiplicative form that pg-boss documents: attempt 1 waits
-- between once and twice the delay, attempt 2 between two and four times.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT CASE
           WHEN NOT p_backoff THEN p_delay
           ELSE least(
               greatest(p_delay, interval '1 second')
               * (power(2, least(greatest(p_attempt, 1), 16) - 1) * (1 + p_chance)),
               coalesce(p_max, interval '10 years')
           )
       END;
$retry_delay$;

COMMENT ON FUNCTION arvo.retry_delay(interval, boolean, interval, integer, double precision) IS
'Wait before the next attempt: fixed, or exponential with jitter and a cap.';

REVOKE ALL ON FUNCTION
arvo.retry_delay(interval, boolean, interval, integer, double precision) FROM PUBLIC;
