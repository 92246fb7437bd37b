-- arvo_v1.still_open(transactions, within) — which of some transactions have not ended.
CREATE OR REPLACE FUNCTION arvo_v1.still_open(
    p_transactions bigint[],
    p_within interval DEFAULT interval '0'
)
RETURNS SETOF bigint
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $still_open$
-- For a session that dozes, of those that doze answered. Prepared ones are open. What has ended is
-- visible to the next statement, or was rolled back. Answers when one of them has ended, or after
-- p_within, a minute at most; it looks every 40 milliseconds, which is cheaper here than by calls. A
-- session that listens should not wait so: notifications are not delivered meanwhile.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_open bigint[];
BEGIN
    FOR v_round IN
        0 .. (
            greatest(least(extract(epoch FROM coalesce(p_within, interval '0')), 60), 0) / 0.04
        )::integer
    LOOP
        IF v_round > 0 THEN
            PERFORM pg_sleep(0.04);
        END IF;
        v_open := ARRAY(
            SELECT asked.xid
            FROM unnest(p_transactions) AS asked (xid)
            WHERE NOT pg_visible_in_snapshot(asked.xid::text::xid8, pg_current_snapshot())
        );
        EXIT WHEN v_open = '{}' OR cardinality(v_open) < cardinality(p_transactions);
    END LOOP;
    RETURN QUERY SELECT open.xid FROM unnest(v_open) AS open (xid);
END;
$still_open$;

COMMENT ON FUNCTION arvo_v1.still_open(bigint[], interval) IS
'Those of the given transactions that have not ended; waits for one to end, if asked to.';

REVOKE ALL ON FUNCTION arvo_v1.still_open(bigint[], interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.still_open(bigint[], interval) TO arvo_worker;
