-- arvo_v1.check_in(worker, queues, rhythm, details) — a worker says that it is there.
CREATE OR REPLACE FUNCTION arvo_v1.check_in(
    p_worker text,
    p_queues text[],
    p_rhythm interval DEFAULT interval '10 seconds',
    p_details jsonb DEFAULT '{}'
)
RETURNS boolean
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $check_in$
-- Called once a rhythm; who has not been seen for three of them counts as dead. Nothing depends on
-- it but health() and explain_delivery(): leases lapse on their own. p_worker is the name that it
-- claims with. A call before half a rhythm has passed, with nothing new to tell, writes nothing.
-- False when it was not known, or counted as dead.
--
--   Reads    arvo.clock
--   Writes   arvo.worker
--   Locks    arvo.worker row
--   Raises   RV006  an argument is not valid
DECLARE
    v_now timestamptz := arvo.clock();
    v_argument text;
    v_known arvo.worker;
BEGIN
    v_argument := CASE
        WHEN p_worker IS NULL OR length(p_worker) NOT BETWEEN 1 AND 200 THEN 'worker'
        WHEN p_queues IS NULL OR cardinality(p_queues) > 1000 THEN 'queues'
        WHEN p_rhythm IS NULL OR p_rhythm NOT BETWEEN interval '1 second' AND interval '1 hour'
            THEN 'rhythm'
        WHEN p_details IS NULL OR jsonb_typeof(p_details) <> 'object'
            OR arvo.json_fault(p_details, 8192) IS NOT NULL THEN 'details'
    END;
    IF v_argument IS NOT NULL THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = v_argument,
              DETAIL = format('worker %s, %s queues, rhythm %s',
                              left(to_json(p_worker)::text, 80), cardinality(p_queues), p_rhythm),
              HINT = 'worker has 1 to 200 characters; queues at most 1000 names; rhythm is 1 second'
                     ' to 1 hour; details is an object of at most 8192 bytes.';
    END IF;

    SELECT worker.* INTO v_known
    FROM arvo.worker
    WHERE worker.worker = p_worker;
    IF v_known.seen_at > v_now - p_rhythm / 2
        AND v_known.queues = p_queues
        AND v_known.rhythm = p_rhythm
        AND v_known.details = p_details
    THEN
        RETURN true;
    END IF;

    INSERT INTO arvo.worker AS known (worker, queues, details, rhythm, started_at, seen_at)
    VALUES (p_worker, p_queues, p_details, p_rhythm, v_now, v_now)
    ON CONFLICT (worker) DO UPDATE
    SET queues = excluded.queues,
        details = excluded.details,
        rhythm = excluded.rhythm,
        seen_at = excluded.seen_at;
    RETURN coalesce(v_known.seen_at + 3 * v_known.rhythm > v_now, false);
END;
$check_in$;

COMMENT ON FUNCTION arvo_v1.check_in(text, text[], interval, jsonb) IS
'A worker says that it is there; true when it was known to be.';

REVOKE ALL ON FUNCTION arvo_v1.check_in(text, text[], interval, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.check_in(text, text[], interval, jsonb) TO arvo_worker;
