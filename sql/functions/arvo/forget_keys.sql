-- arvo.forget_keys(items) — take back the keys of events that did not get in.
CREATE OR REPLACE FUNCTION arvo.forget_keys(p_items arvo.arrival[])
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $forget_keys$
-- An event that was new but was throttled is no duplicate when it comes again. This transaction has
-- noted it in the slot in use or in that and the one before, as of then; another one may have come into
-- use since, not two: that waits for the end of this transaction.
--
--   Reads    the sequence of arvo.generation
--   Writes   as arvo.drop_keys
--   Locks    as arvo.drop_keys
--   Raises   nothing
DECLARE
    v_number bigint;
    v_ids text[];
    v_keys bigint[];
    v_deliveries bigint[];
BEGIN
    SELECT
        array_agg(item.event ->> 'id'),
        array_agg(arvo.dedup_key(item.queue, item.event ->> 'source', item.event ->> 'id')),
        array_agg(item.delivery)
    INTO v_ids, v_keys, v_deliveries
    FROM unnest(p_items) AS item
    WHERE item.outcome = 'throttled';
    IF v_ids IS NULL THEN
        RETURN;
    END IF;
    SELECT current.last_value INTO v_number FROM arvo.generation_number_seq AS current;
    FOR v_back IN 1..3 LOOP
        PERFORM arvo.drop_keys(
            ((v_number - v_back + 4) % 4)::integer, v_ids, v_keys, v_deliveries
        );
    END LOOP;
END;
$forget_keys$;

COMMENT ON FUNCTION arvo.forget_keys(arvo.arrival[]) IS
'Removes the deduplication keys of arriving events that were throttled.';

REVOKE ALL ON FUNCTION arvo.forget_keys(arvo.arrival[]) FROM PUBLIC;
