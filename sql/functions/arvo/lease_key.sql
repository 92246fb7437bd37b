-- arvo.lease_key(token) — the transaction lock that guards a lease.
CREATE OR REPLACE FUNCTION arvo.lease_key(p_token bigint)
RETURNS bigint
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $lease_key$
-- Advisory locks share one space of numbers with the application; a token by itself would be a low
-- one, such as applications use.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
BEGIN
    RETURN hashint8extended(p_token, hashtextextended('arvo', 1));
END;
$lease_key$;

COMMENT ON FUNCTION arvo.lease_key(bigint) IS
'Key of the advisory lock that guards a lease.';

REVOKE ALL ON FUNCTION arvo.lease_key(bigint) FROM PUBLIC;
