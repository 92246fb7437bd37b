-- arvo.known_queue(name, parameter) — the queue of that name, or a refusal.
CREATE OR REPLACE FUNCTION arvo.known_queue(p_name text, p_parameter text DEFAULT 'queue')
RETURNS arvo.queue
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $known_queue$
--   Reads    arvo.queue
--   Writes   nothing
--   Locks    nothing
--   Raises   RV003  nobody has named that queue yet
DECLARE
    v_queue arvo.queue;
BEGIN
    SELECT queue.* INTO v_queue FROM arvo.queue WHERE queue.name = p_name;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'queue is not known'
        USING ERRCODE = 'RV003',
              COLUMN = p_parameter,
              DETAIL = format('queue: %s', left(to_json(p_name)::text, 80)),
              HINT = 'Register the queue first, or correct its name.';
    END IF;
    RETURN v_queue;
END;
$known_queue$;

COMMENT ON FUNCTION arvo.known_queue(text, text) IS
'The queue of a name; raises RV003 when there is none.';

REVOKE ALL ON FUNCTION arvo.known_queue(text, text) FROM PUBLIC;
