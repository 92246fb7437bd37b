-- arvo_v1.redrive(queue, dead, limit, dry_run) — put dead letters back into the queues they failed in.
CREATE OR REPLACE FUNCTION arvo_v1.redrive(
    p_queue text DEFAULT NULL,
    p_dead bigint[] DEFAULT NULL,
    p_limit integer DEFAULT 100,
    p_dry_run boolean DEFAULT false
)
RETURNS SETOF arvo_v1.redriven
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $redrive$
-- By number, by queue (the one they failed in, or the dead-letter queue that received them), or
-- both; oldest first. The event starts again with attempt 1. Its delivery in the dead-letter queue is
-- withdrawn; one that a consumer of that queue has in its hands, or has put off, is left alone. A dry run answers
-- what would be done.
--
--   Reads    arvo.dead, arvo.lease, arvo.clock, arvo.slot
--   Writes   arvo.dead, arvo.tombstone, arvo.log; arvo.queue, arvo.lane when they are missing
--   Locks    lanes of dead-letter queues, in order; then arvo.dead rows (those that somebody else
--            holds are skipped): whoever holds a lane may wait for such a row
--   Raises   RV005  the transaction is not READ COMMITTED
--            RV006  neither queue nor dead is given
--            RV902  the stored transaction numbers are of another cluster
DECLARE
    v_now timestamptz := arvo.clock();
    v_dead arvo.dead;
    v_head arvo.lease;
    v_lane integer;
    v_delivery bigint;
    v_left integer := p_limit;
BEGIN
    PERFORM arvo.require_read_committed('redrive');
    PERFORM arvo.require_home();
    IF p_queue IS NULL AND p_dead IS NULL THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'queue',
              DETAIL = 'Neither queue nor dead is given.',
              HINT = 'Name a queue, or the numbers of dead letters.';
    END IF;

    PERFORM pg_advisory_xact_lock(hashtext('arvo'), received.lane)
    FROM (
        SELECT DISTINCT dead.dead_letter_lane AS lane
        FROM arvo.dead
        WHERE dead.resolution IS NULL
        AND dead.dead_letter_lane IS NOT NULL
        AND (p_queue IS NULL OR dead.queue = p_queue OR dead.dead_letter = p_queue)
        AND (p_dead IS NULL OR dead.dead = ANY (p_dead))
        ORDER BY dead.dead_letter_lane
    ) AS received;

    FOR v_dead IN
        SELECT dead.*
        FROM arvo.dead
        WHERE dead.resolution IS NULL
        AND (p_queue IS NULL OR dead.queue = p_queue OR dead.dead_letter = p_queue)
        AND (p_dead IS NULL OR dead.dead = ANY (p_dead))
        ORDER BY dead.dead_letter_lane NULLS FIRST, dead.dead
        FOR NO KEY UPDATE SKIP LOCKED
    LOOP
        EXIT WHEN v_left <= 0;
        IF v_dead.dead_letter_lane IS NOT NULL THEN
            -- A lane that came up since the locks were taken is left to the next call.
            CONTINUE WHEN NOT pg_try_advisory_xact_lock(
                hashtext('arvo'), v_dead.dead_letter_lane
            );
            SELECT head.* INTO STRICT v_head
            FROM arvo.lease AS head
            WHERE head.lane = v_dead.dead_letter_lane
            ORDER BY head.number DESC
            LIMIT 1;
            CONTINUE WHEN v_dead.dead_letter_xid IS NULL OR NOT arvo.is_unclaimed(
                v_head, v_dead.dead_letter_xid, v_dead.dead_letter_delivery
            );
        END IF;
        v_left := v_left - 1;
        v_delivery := NULL;
        IF NOT p_dry_run THEN
            IF v_dead.dead_letter_lane IS NOT NULL THEN
                INSERT INTO arvo.tombstone (lane, delivery, at)
                VALUES (v_dead.dead_letter_lane, v_dead.dead_letter_delivery, v_now);
            END IF;
            v_lane := arvo.lane_for(v_dead.queue);
            v_delivery := nextval('arvo.delivery_number'::regclass);
            INSERT INTO arvo.log (
                slot, lane, delivery, attempt, at, subject_key, event_key, event, cause
            )
            VALUES (
                arvo.slot(), v_lane, v_delivery, 1, v_now, v_dead.subject_key, v_dead.event_key,
                v_dead.event,
                jsonb_build_object(
                    'outcome', 'redriven',
                    'dead', v_dead.dead,
                    'delivery', v_dead.delivery,
                    'error', v_dead.error,
                    'redrives', v_dead.redrives + 1
                )
            );
            UPDATE arvo.dead
            SET resolution = 'redriven', resolved_at = v_now, resolved_by = session_user
            WHERE dead.dead = v_dead.dead;
            PERFORM arvo.wake(ARRAY[v_dead.queue]);
        END IF;
        RETURN NEXT (
            v_dead.dead, v_dead.event_id, v_delivery, v_dead.queue
        )::arvo_v1.redriven;
    END LOOP;
END;
$redrive$;

COMMENT ON FUNCTION arvo_v1.redrive(text, bigint[], integer, boolean) IS
'Puts dead letters back into the queues they failed in, by number or by queue.';

REVOKE ALL ON FUNCTION arvo_v1.redrive(text, bigint[], integer, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.redrive(text, bigint[], integer, boolean) TO arvo_operator;
