-- arvo.require_right(names, right) — refuse what the caller may not do with a queue.
CREATE OR REPLACE FUNCTION arvo.require_right(p_names text[], p_right text)
RETURNS void
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $require_right$
-- Where nothing of the kind is closed it costs one look at a table with nothing in it.
--
--   Reads    arvo.queue_guard; as arvo.may
--   Writes   nothing
--   Locks    nothing
--   Raises   RV007  the caller may not
DECLARE
    v_barred text;
BEGIN
    IF NOT EXISTS (SELECT FROM arvo.queue_guard AS guard WHERE guard.may = p_right) THEN
        RETURN;
    END IF;
    SELECT named.name INTO v_barred
    FROM unnest(p_names) WITH ORDINALITY AS named (name, ordinal)
    WHERE named.name IS NOT NULL AND NOT arvo.may(named.name, p_right)
    ORDER BY named.ordinal
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'queue is closed to this role'
        USING ERRCODE = 'RV007',
              COLUMN = 'queue',
              DETAIL = arvo.closed_detail(v_barred, p_right),
              HINT = 'Whoever operates the queue can grant it: grant_queue(queue, role, right).';
    END IF;
END;
$require_right$;

COMMENT ON FUNCTION arvo.require_right(text[], text) IS
'Raises RV007 unless the caller may do something with each of some queues.';

REVOKE ALL ON FUNCTION arvo.require_right(text[], text) FROM PUBLIC;
