-- arvo.take_place(queue, kind, key, delivery) — take the one place that a policy gives per key.
CREATE OR REPLACE FUNCTION arvo.take_place(
    p_queue integer,
    p_kind text,
    p_key bigint,
    p_delivery bigint
)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $take_place$
-- The newest row of a place says who has it. Taking it means to write the next number, which two
-- cannot: the second waits until the first has committed, and looks again. So no look-up meets a
-- deleted row, however often a place changes hands. Returns NULL when it was free and is now taken,
-- else the delivery that has it.
--
--   Reads    arvo.singleton, arvo.clock
--   Writes   arvo.singleton
--   Locks    the next number of the place
--   Raises   RV901  it was lost to others a thousand times over
--            40001  under REPEATABLE READ: somebody took or freed it meanwhile
DECLARE
    v_newest arvo.singleton;
BEGIN
    FOR v_try IN 1..1000 LOOP
        SELECT newest.* INTO v_newest
        FROM arvo.singleton AS newest
        WHERE newest.queue = p_queue AND newest.kind = p_kind AND newest.key = p_key
        ORDER BY newest.number DESC
        LIMIT 1;
        IF v_newest.delivery IS NOT NULL THEN
            RETURN v_newest.delivery;
        END IF;
        INSERT INTO arvo.singleton (queue, kind, key, number, delivery, at)
        VALUES (
            p_queue, p_kind, p_key, coalesce(v_newest.number, 0) + 1, p_delivery, arvo.clock()
        )
        ON CONFLICT (queue, kind, key, number) DO NOTHING;
        IF FOUND THEN
            DELETE FROM arvo.singleton AS gone
            WHERE gone.queue = p_queue AND gone.kind = p_kind AND gone.key = p_key
            AND gone.number = v_newest.number;
            -- A free place may have been swept away since it was read (arvo.sweep_keys): then numbers
            -- begin again, and others do not meet this one.
            IF FOUND OR v_newest.number IS NULL THEN
                RETURN NULL;
            END IF;
            DELETE FROM arvo.singleton AS gone
            WHERE gone.queue = p_queue AND gone.kind = p_kind AND gone.key = p_key
            AND gone.number = v_newest.number + 1;
        END IF;
    END LOOP;
    RAISE EXCEPTION 'a place is never to be had'
    USING ERRCODE = 'RV901',
          DETAIL = format('queue %s, %s, key %s', p_queue, p_kind, p_key),
          HINT = 'Please report this: it should be impossible.';
END;
$take_place$;

COMMENT ON FUNCTION arvo.take_place(integer, text, bigint, bigint) IS
'Takes the place of a key, or answers the delivery that has it.';

REVOKE ALL ON FUNCTION arvo.take_place(integer, text, bigint, bigint) FROM PUBLIC;
