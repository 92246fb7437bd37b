-- arvo_v1.still_open(transactions) — which of some transactions have not ended.
CREATE OR REPLACE FUNCTION arvo_v1.still_open(p_transactions bigint[])
RETURNS SETOF bigint
LANGUAGE sql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $still_open$
-- For a session that dozes, of those that doze answered. Prepared ones are open. What has ended is
-- visible to the next statement, or was rolled back.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT asked.xid
FROM unnest(p_transactions) AS asked (xid)
WHERE NOT pg_visible_in_snapshot(asked.xid::text::xid8, pg_current_snapshot());
$still_open$;

COMMENT ON FUNCTION arvo_v1.still_open(bigint[]) IS
'Those of the given transactions that have not ended.';

REVOKE ALL ON FUNCTION arvo_v1.still_open(bigint[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.still_open(bigint[]) TO arvo_worker;
