-- arvo.is_queue_name(name) — whether a text may name a queue.
CREATE OR REPLACE FUNCTION arvo.is_queue_name(p_name text)
RETURNS boolean
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $is_queue_name$
-- Queues are named by what events carry in "to": a URI reference. Quotes, blanks and control
-- characters are not allowed, so that a name can stand in a log line as it is; nor is *, which
-- stands for a group of queues in claim().
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT coalesce(p_name ~ '^[A-Za-z0-9._~:/?#@!$&()+,;=%-]+$' AND length(p_name) <= 512, false);
$is_queue_name$;

COMMENT ON FUNCTION arvo.is_queue_name(text) IS
'Whether a text may name a queue: 1 to 512 characters of a URI, without quotes.';

REVOKE ALL ON FUNCTION arvo.is_queue_name(text) FROM PUBLIC;
