-- arvo.free_keys(slot, queues, ids, keys) — take keys whose window is over from where they stand.
CREATE OR REPLACE FUNCTION arvo.free_keys(
    p_slot integer,
    p_queues integer[],
    p_ids text[],
    p_keys bigint[]
)
RETURNS integer
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $free_keys$
-- In one slot of the log, so that they can be noted again there: the only update of the log. Of two who
-- do so at once, the second finds nothing left to take, and then the key of the first. Returns how many.
--
--   Reads    arvo.queue, arvo.clock
--   Writes   arvo.log, one partition: dedup_key
--   Locks    these rows, by (event_key, dedup_key)
--   Raises   40001  under REPEATABLE READ: somebody dispatched the same event meanwhile
DECLARE
    v_now timestamptz := arvo.clock();
    v_freed integer;
BEGIN
    IF p_slot = 0 THEN
        WITH over AS MATERIALIZED (
            SELECT listed.event_key, listed.dedup_key
            FROM unnest(p_queues, p_ids, p_keys) AS asked (queue, id, key)
            INNER JOIN arvo.queue ON queue.queue = asked.queue
            INNER JOIN arvo.log_0 AS listed
                ON listed.event_key = hashtextextended(asked.id, 0)
                AND listed.dedup_key = asked.key
                AND listed.at <= v_now - queue.deduplicate_for
            ORDER BY listed.event_key, listed.dedup_key
            FOR NO KEY UPDATE OF listed
        )

        UPDATE arvo.log_0 AS listed
        SET dedup_key = NULL
        FROM over
        WHERE listed.event_key = over.event_key AND listed.dedup_key = over.dedup_key;
    ELSIF p_slot = 1 THEN
        WITH over AS MATERIALIZED (
            SELECT listed.event_key, listed.dedup_key
            FROM unnest(p_queues, p_ids, p_keys) AS asked (queue, id, key)
            INNER JOIN arvo.queue ON queue.queue = asked.queue
            INNER JOIN arvo.log_1 AS listed
                ON listed.event_key = hashtextextended(asked.id, 0)
                AND listed.dedup_key = asked.key
                AND listed.at <= v_now - queue.deduplicate_for
            ORDER BY listed.event_key, listed.dedup_key
            FOR NO KEY UPDATE OF listed
        )

        UPDATE arvo.log_1 AS listed
        SET dedup_key = NULL
        FROM over
        WHERE listed.event_key = over.event_key AND listed.dedup_key = over.dedup_key;
    ELSIF p_slot = 2 THEN
        WITH over AS MATERIALIZED (
            SELECT listed.event_key, listed.dedup_key
            FROM unnest(p_queues, p_ids, p_keys) AS asked (queue, id, key)
            INNER JOIN arvo.queue ON queue.queue = asked.queue
            INNER JOIN arvo.log_2 AS listed
                ON listed.event_key = hashtextextended(asked.id, 0)
                AND listed.dedup_key = asked.key
                AND listed.at <= v_now - queue.deduplicate_for
            ORDER BY listed.event_key, listed.dedup_key
            FOR NO KEY UPDATE OF listed
        )

        UPDATE arvo.log_2 AS listed
        SET dedup_key = NULL
        FROM over
        WHERE listed.event_key = over.event_key AND listed.dedup_key = over.dedup_key;
    ELSE
        WITH over AS MATERIALIZED (
            SELECT listed.event_key, listed.dedup_key
            FROM unnest(p_queues, p_ids, p_keys) AS asked (queue, id, key)
            INNER JOIN arvo.queue ON queue.queue = asked.queue
            INNER JOIN arvo.log_3 AS listed
                ON listed.event_key = hashtextextended(asked.id, 0)
                AND listed.dedup_key = asked.key
                AND listed.at <= v_now - queue.deduplicate_for
            ORDER BY listed.event_key, listed.dedup_key
            FOR NO KEY UPDATE OF listed
        )

        UPDATE arvo.log_3 AS listed
        SET dedup_key = NULL
        FROM over
        WHERE listed.event_key = over.event_key AND listed.dedup_key = over.dedup_key;
    END IF;
    GET DIAGNOSTICS v_freed = ROW_COUNT;
    RETURN v_freed;
END;
$free_keys$;

COMMENT ON FUNCTION arvo.free_keys(integer, integer[], text[], bigint[]) IS
'Takes deduplication keys whose window is over from the rows of a slot; returns how many.';

REVOKE ALL ON FUNCTION arvo.free_keys(integer, integer[], text[], bigint[]) FROM PUBLIC;
