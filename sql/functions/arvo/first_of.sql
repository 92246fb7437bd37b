-- arvo.first_of(log row) — the first delivery of an event.
CREATE OR REPLACE FUNCTION arvo.first_of(p_entry arvo.log)
RETURNS bigint
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $first_of$
-- Retries, redeliveries and notices of an event name its first delivery; once the event was written
-- again (see arvo.carried_body), their cause does.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT coalesce(
    (p_entry.cause ->> 'first')::bigint, p_entry.origin_delivery, p_entry.delivery
);
$first_of$;

COMMENT ON FUNCTION arvo.first_of(arvo.log) IS
'Number of the first delivery of the event that a delivery carries.';

REVOKE ALL ON FUNCTION arvo.first_of(arvo.log) FROM PUBLIC;
