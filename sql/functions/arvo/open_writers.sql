-- arvo.open_writers() — transactions that have written here and have not ended.
CREATE OR REPLACE FUNCTION arvo.open_writers()
RETURNS SETOF bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $open_writers$
-- A snapshot does not list those that began after the last one that has ended; the locks do, each
-- transaction holds one on its own number. Those without a writer's lock on one of our tables are left
-- out, so that the rest of the database may write as long as it likes. Prepared ones are among them.
--
--   Reads    pg_locks, pg_class
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_next bigint := pg_snapshot_xmax(pg_current_snapshot())::text::bigint;
BEGIN
    -- Numbers of locks have 32 bits: they are near v_next, before it or behind.
    RETURN QUERY
    WITH held AS MATERIALIZED (
        SELECT lock.virtualtransaction, lock.transactionid::text::bigint AS xid, lock.relation
        FROM pg_locks AS lock
        WHERE lock.granted
        AND (
            (lock.locktype = 'transactionid' AND lock.mode = 'ExclusiveLock')
            OR (
                lock.locktype = 'relation'
                AND lock.mode = 'RowExclusiveLock'
                AND lock.database = (
                    SELECT here.oid FROM pg_database AS here WHERE here.datname = current_database()
                )
            )
        )
    )

    SELECT min(
        v_next + (numbered.xid - v_next % 4294967296 + 6442450944) % 4294967296 - 2147483648
    )
    FROM held AS numbered
    WHERE numbered.xid IS NOT NULL
    AND EXISTS (
        SELECT
        FROM held AS written
        INNER JOIN pg_class ON pg_class.oid = written.relation
        WHERE written.virtualtransaction = numbered.virtualtransaction
        AND pg_class.relnamespace = 'arvo'::regnamespace
        AND pg_class.relkind <> 'S'  -- the lock of a sequence outlives what is undone
    )
    GROUP BY numbered.virtualtransaction;
END;
$open_writers$;

COMMENT ON FUNCTION arvo.open_writers() IS
'Transactions, also prepared ones, that have written to our tables and have not ended.';

REVOKE ALL ON FUNCTION arvo.open_writers() FROM PUBLIC;
