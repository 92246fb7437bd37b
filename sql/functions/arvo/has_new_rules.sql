-- arvo.has_new_rules(before, after) — whether what stands in line of a queue must meet new rules.
CREATE OR REPLACE FUNCTION arvo.has_new_rules(p_before arvo.queue, p_after arvo.queue)
RETURNS boolean
LANGUAGE sql
IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $has_new_rules$
-- By another policy, or because claims go through arvo.turn now, or no longer do. What a delivery's key
-- is was decided when it was dispatched, and limits are looked at whenever something is claimed: these
-- are no new rules.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT p_before.policy IS DISTINCT FROM p_after.policy
    OR (
        p_before.policy NOT IN ('ordered', 'singleton', 'stately')
        AND num_nonnulls(
            p_before.max_active, p_before.key_max_active, p_before.rate_limit,
            p_before.key_rate_limit
        ) > 0 IS DISTINCT FROM num_nonnulls(
            p_after.max_active, p_after.key_max_active, p_after.rate_limit, p_after.key_rate_limit
        ) > 0
    );
$has_new_rules$;

COMMENT ON FUNCTION arvo.has_new_rules(arvo.queue, arvo.queue) IS
'Whether the policy of a queue has changed, or whether claims go through its keys.';

REVOKE ALL ON FUNCTION arvo.has_new_rules(arvo.queue, arvo.queue) FROM PUBLIC;
