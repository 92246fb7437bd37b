-- arvo.require_read_committed(function) — refuse to work on a stale view of the ledger.
CREATE OR REPLACE FUNCTION arvo.require_read_committed(p_function text)
RETURNS void
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $require_read_committed$
-- Claim, settle and extend take a lock and then read what its last holder wrote. Under REPEATABLE
-- READ or SERIALIZABLE they would read the ledger as it was before they waited.
--
--   Reads    the setting transaction_isolation
--   Writes   nothing
--   Locks    nothing
--   Raises   RV005  the transaction is not READ COMMITTED
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'transaction isolation level must be read committed'
        USING ERRCODE = 'RV005',
              DETAIL = format('%s was called under %s.',
                              p_function, current_setting('transaction_isolation')),
              HINT = 'Begin the transaction with ISOLATION LEVEL READ COMMITTED.';
    END IF;
END;
$require_read_committed$;

COMMENT ON FUNCTION arvo.require_read_committed(text) IS
'Raises RV005 unless the transaction is READ COMMITTED.';

REVOKE ALL ON FUNCTION arvo.require_read_committed(text) FROM PUBLIC;
