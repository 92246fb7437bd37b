-- arvo.option_fault(queue) — the first rule that a queue's options break, or NULL.
CREATE OR REPLACE FUNCTION arvo.option_fault(p_queue arvo.queue)
RETURNS text
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $option_fault$
-- Answers 'option: rule', the option first.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT faulty.option || ': ' || faulty.rule
FROM (
    VALUES
    (1, 'queue', arvo.is_queue_name(p_queue.name), 'use 1 to 512 characters of a URI, without quotes'),
    (2, 'queue',
     NOT starts_with(p_queue.name, 'arvo.domain.') OR p_queue.name ~ '^arvo\.domain\.[a-z0-9.]+$',
     'after arvo.domain. use lower-case letters, digits and dots'),
    (2, 'queue', p_queue.name <> 'arvo.publish', 'name another queue: what goes there is published'),
    (3, 'policy',
     p_queue.policy IN ('standard', 'short', 'singleton', 'stately', 'exclusive', 'ordered'),
     'use standard, short, singleton, stately, exclusive or ordered'),
    (4, 'key_from',
     p_queue.key_from ~ '^([a-z0-9]+|data(\.[^.{}",\s]{1,100}){1,8})$' AND p_queue.key_from <> 'data',
     'name an attribute of the event, or a path such as data.customer.id'),
    (5, 'on_failure', p_queue.on_failure IN ('block', 'step_aside'), 'use block or step_aside'),
    (6, 'on_failure', p_queue.on_failure = 'block' OR p_queue.policy = 'ordered',
     'only an ordered queue steps aside: set policy to ordered'),
    (7, 'start_after', p_queue.start_after BETWEEN interval '0' AND interval '3650 days',
     'use between 0 and 3650 days'),
    (8, 'retention', p_queue.retention BETWEEN interval '1 second' AND interval '3650 days',
     'use between 1 second and 3650 days'),
    (9, 'delete_after', p_queue.delete_after BETWEEN interval '1 second' AND interval '3650 days',
     'use between 1 second and 3650 days'),
    (10, 'deduplicate_for', p_queue.deduplicate_for BETWEEN interval '0' AND interval '3650 days',
     'use between 0 (off) and 3650 days'),
    (11, 'singleton_for', p_queue.singleton_for BETWEEN interval '1 second' AND interval '3650 days',
     'use between 1 second and 3650 days'),
    (12, 'singleton_next_slot', NOT p_queue.singleton_next_slot OR p_queue.singleton_for IS NOT NULL,
     'set singleton_for as well'),
    (13, 'max_active', p_queue.max_active >= 1, 'use 1 or more'),
    (14, 'key_max_active', p_queue.key_max_active >= 1, 'use 1 or more'),
    (15, 'key_max_active',
     p_queue.key_max_active IS NULL OR p_queue.policy NOT IN ('ordered', 'singleton', 'stately'),
     'the policy allows one at a time already: leave it out'),
    (16, 'rate_limit', p_queue.rate_limit >= 1, 'use 1 or more'),
    (17, 'rate_period', (p_queue.rate_limit IS NULL) = (p_queue.rate_period IS NULL),
     'give rate_limit and rate_period together'),
    (18, 'rate_period', p_queue.rate_period BETWEEN interval '0.1 seconds' AND interval '31 days',
     'use between 0.1 seconds and 31 days'),
    (19, 'key_rate_limit', p_queue.key_rate_limit >= 1, 'use 1 or more'),
    (20, 'key_rate_period', (p_queue.key_rate_limit IS NULL) = (p_queue.key_rate_period IS NULL),
     'give key_rate_limit and key_rate_period together'),
    (21, 'key_rate_period',
     p_queue.key_rate_period BETWEEN interval '0.1 seconds' AND interval '31 days',
     'use between 0.1 seconds and 31 days'),
    (22, 'retry_limit', p_queue.retry_limit >= 0, 'use 0 or more'),
    -- Without a bound, a retry would be due behind the end of time, and fail with its whole batch.
    (23, 'retry_delay', p_queue.retry_delay BETWEEN interval '0' AND interval '3650 days',
     'use between 0 and 3650 days'),
    (24, 'retry_delay_max', p_queue.retry_delay_max BETWEEN interval '0' AND interval '3650 days',
     'use between 0 and 3650 days'),
    (25, 'expire_in', p_queue.expire_in BETWEEN interval '1 second' AND interval '1 day',
     'use between 1 second and 1 day'),
    (26, 'dead_letter', p_queue.dead_letter IS NULL OR arvo.is_queue_name(p_queue.dead_letter),
     'use 1 to 512 characters of a URI, without quotes'),
    (27, 'dead_letter', p_queue.dead_letter <> p_queue.name, 'name another queue'),
    (28, 'warning_queue_size', p_queue.warning_queue_size >= 1, 'use 1 or more'),
    (29, 'max_redrives', p_queue.max_redrives >= 0, 'use 0 or more'),
    (30, 'error_rules',
     arvo.json_fault(p_queue.error_rules, 65536) IS NULL
     AND coalesce(jsonb_typeof(p_queue.error_rules), 'null') = 'object' AND NOT EXISTS (
         SELECT
         FROM jsonb_each(
             CASE jsonb_typeof(p_queue.error_rules) WHEN 'object' THEN p_queue.error_rules END
         ) AS rule
         WHERE NOT (
             rule.value = '"dead"'
             OR coalesce(
                 jsonb_typeof(rule.value) = 'object'
                 AND (rule.value - 'retry_after' - 'snooze') = '{}'
                 AND ((rule.value ? 'retry_after') <> (rule.value ? 'snooze'))
                 AND jsonb_path_exists(rule.value, 'strict $.* ? (@ >= 0 && @ <= 315360000)'),
                 false
             )
         )
     ),
     'use an object of error names, each with "dead", {"retry_after": seconds} or {"snooze": seconds}')
) AS faulty (ordinal, option, kept, rule)
WHERE NOT faulty.kept
ORDER BY faulty.ordinal
LIMIT 1;
$option_fault$;

COMMENT ON FUNCTION arvo.option_fault(arvo.queue) IS
'The first rule that a queue''s options break, as "option: rule"; NULL when they break none.';

REVOKE ALL ON FUNCTION arvo.option_fault(arvo.queue) FROM PUBLIC;
