-- arvo_v1.discard(queue, dead, limit, dry_run, …) — let go of dead letters.
CREATE OR REPLACE FUNCTION arvo_v1.discard(
    p_queue text DEFAULT NULL,
    p_dead bigint[] DEFAULT NULL,
    p_limit integer DEFAULT 100,
    p_dry_run boolean DEFAULT false,
    p_reason text DEFAULT NULL,
    p_since timestamptz DEFAULT NULL,
    p_before timestamptz DEFAULT NULL,
    p_event_type text DEFAULT NULL,
    p_subject text DEFAULT NULL,
    p_path jsonpath DEFAULT NULL,
    p_text text DEFAULT NULL
)
RETURNS SETOF arvo_v1.discarded
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
AS $discard$
-- Filters as in dead_letters, of which one at least is given; oldest first, p_limit at most. A
-- discarded letter is kept, resolved, as long as others are; its delivery in the dead-letter queue
-- is withdrawn. One that a consumer of that queue has in its hands, or has put off, is left alone:
-- refused with RV103 when it was named by number. A dry run answers what would be done.
--
--   Reads    arvo.dead, arvo.clock; as arvo.grasp_dead
--   Writes   arvo.dead, arvo.tombstone, arvo.operation
--   Locks    as arvo.grasp_dead
--   Raises   RV005  the transaction is not READ COMMITTED
--            RV006  no filter is given; limit or reason break their rules
--            RV007  a queue that is named is closed to the caller
--            RV902  the stored transaction numbers are of another cluster
DECLARE
    v_now timestamptz := arvo.clock();
    v_filter arvo.dead_filter;
    v_after bigint := 0::bigint;
    v_first boolean := true;
    v_size integer := least(p_limit, 1000);
    v_page bigint[];
    v_free bigint[];
    v_dead record;
    v_done integer := 0;
BEGIN
    PERFORM arvo.require_read_committed('discard');
    PERFORM arvo.require_home();
    PERFORM arvo.require_right(ARRAY[p_queue], 'operate');
    v_filter := arvo.read_dead_filter(
        p_dead, p_queue, p_reason, p_since, p_before, p_event_type, p_subject, p_path, p_text,
        p_limit, true
    );

    WHILE v_done < p_limit LOOP
        v_page := ARRAY(
            SELECT found.dead
            FROM arvo.find_dead(v_filter, v_after, v_size, false) AS found
            ORDER BY found.dead
        );
        EXIT WHEN v_page = '{}';
        v_free := arvo.grasp_dead(v_page, v_first);

        FOR v_dead IN
            SELECT
                dead.dead,
                dead.event_id,
                dead.queue,
                dead.dead_letter,
                dead.dead_letter_lane,
                dead.dead_letter_delivery,
                dead.resolution
            FROM arvo.dead
            WHERE dead.dead = ANY (v_page)
            ORDER BY dead.dead
        LOOP
            EXIT WHEN v_done >= p_limit;
            IF v_dead.dead <> ALL (v_free) THEN
                CONTINUE WHEN p_dead IS NULL OR v_dead.resolution IS NOT NULL;
                RETURN NEXT (
                    v_dead.dead, v_dead.event_id, v_dead.queue, 'refused', 'RV103',
                    CASE
                        WHEN v_dead.dead_letter IS NULL THEN 'another operator has it'
                        ELSE format('a consumer of %s, or another operator, has it',
                                    v_dead.dead_letter)
                    END
                )::arvo_v1.discarded;
                CONTINUE;
            END IF;
            v_done := v_done + 1;
            IF NOT p_dry_run THEN
                IF v_dead.dead_letter_lane IS NOT NULL THEN
                    INSERT INTO arvo.tombstone (lane, delivery, at, by)
                    VALUES (
                        v_dead.dead_letter_lane, v_dead.dead_letter_delivery, v_now, session_user
                    )
                    ON CONFLICT DO NOTHING;
                END IF;
                UPDATE arvo.dead
                SET resolution = 'discarded', resolved_at = v_now, resolved_by = session_user
                WHERE dead.dead = v_dead.dead;
            END IF;
            RETURN NEXT (
                v_dead.dead, v_dead.event_id, v_dead.queue, 'discarded', NULL, NULL
            )::arvo_v1.discarded;
        END LOOP;

        EXIT WHEN cardinality(v_page) < v_size;
        v_after := v_page[v_size];
        v_first := false;
        v_size := least(greatest(p_limit - v_done, 100), 1000);
    END LOOP;

    IF NOT p_dry_run THEN
        PERFORM arvo.note_operation(
            'discard',
            p_queue,
            jsonb_build_object(
                'dead', p_dead,
                'limit', p_limit,
                'reason', p_reason,
                'since', p_since,
                'before', p_before,
                'event_type', p_event_type,
                'subject', p_subject,
                'path', p_path::text,
                'text', p_text
            ),
            v_done
        );
    END IF;
END;
$discard$;

COMMENT ON FUNCTION
arvo_v1.discard(
    text, bigint[], integer, boolean, text, timestamptz, timestamptz, text, text, jsonpath, text
) IS
'Closes dead letters that nobody wants any more; they stay as long as resolved ones do.';

REVOKE ALL ON FUNCTION
arvo_v1.discard(
    text, bigint[], integer, boolean, text, timestamptz, timestamptz, text, text, jsonpath, text
) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
arvo_v1.discard(
    text, bigint[], integer, boolean, text, timestamptz, timestamptz, text, text, jsonpath, text
) TO arvo_operator;
