-- arvo.has_new_rules(before, after) — whether what stands in line of a queue must meet new rules.
CREATE OR REPLACE FUNCTION arvo.has_new_rules(p_before arvo.queue, p_after arvo.queue)
RETURNS boolean
LANGUAGE sql
IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $has_new_rules$
-- By policy, by keys, or because limits come or go. Another number for a limit is no new rule.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT (
    p_before.policy, p_before.key_from, p_before.max_active IS NULL,
    p_before.key_max_active IS NULL, p_before.rate_limit IS NULL, p_before.key_rate_limit IS NULL
) IS DISTINCT FROM (
    p_after.policy, p_after.key_from, p_after.max_active IS NULL,
    p_after.key_max_active IS NULL, p_after.rate_limit IS NULL, p_after.key_rate_limit IS NULL
);
$has_new_rules$;

COMMENT ON FUNCTION arvo.has_new_rules(arvo.queue, arvo.queue) IS
'Whether the policy, the keys or the kinds of limits of a queue have changed.';

REVOKE ALL ON FUNCTION arvo.has_new_rules(arvo.queue, arvo.queue) FROM PUBLIC;
