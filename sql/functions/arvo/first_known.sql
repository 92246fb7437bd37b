-- arvo.first_known(first, deliveries, known) — what arvo.known_keys found, added to what was found before.
CREATE OR REPLACE FUNCTION arvo.first_known(
    p_first bigint[],
    p_deliveries bigint[],
    p_known bigint[]
)
RETURNS bigint[]
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $first_known$
-- One element for each event: what was found before counts; finding itself, or the key of another
-- event (0), is finding nothing.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT array_agg(
    coalesce(item.first, nullif(nullif(item.known, item.delivery), 0)) ORDER BY item.ordinal
)
FROM unnest(p_first, p_deliveries, p_known) WITH ORDINALITY
    AS item (first, delivery, known, ordinal);
$first_known$;

COMMENT ON FUNCTION arvo.first_known(bigint[], bigint[], bigint[]) IS
'First deliveries of events: those found before, and those that known_keys found.';

REVOKE ALL ON FUNCTION arvo.first_known(bigint[], bigint[], bigint[]) FROM PUBLIC;
