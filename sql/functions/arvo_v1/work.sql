-- arvo_v1.work(results, queues, limit, worker, limits, lease) — settle, then claim: one round trip, one commit.
CREATE OR REPLACE FUNCTION arvo_v1.work(
    p_results jsonb DEFAULT '[]',
    p_queues text[] DEFAULT NULL,
    p_limit integer DEFAULT 1,
    p_worker text DEFAULT NULL,
    p_limits integer[] DEFAULT NULL,
    p_lease interval DEFAULT interval '30 seconds'
)
RETURNS SETOF arvo_v1.worked
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '2s'
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $work$
-- Answers, in this order: verdicts of kind "settled" (only those that are not plainly completed),
-- deliveries of kind "claimed", and one row of kind "idle" when nothing was claimed, which says when
-- something deferred becomes due, or a lease of another worker may have lapsed: at once, if this very
-- call appended something to these queues, and soon, if another session was claiming where there is
-- something to claim.
-- Nothing is claimed when p_queues is NULL or p_limit is 0.
--
--   Reads    as arvo_v1.settle, arvo.take and arvo_v1.claim; as arvo.has_own, arvo.next_due,
--            arvo.next_room and arvo.next_lapse
--   Writes   as arvo_v1.settle, and arvo.take or arvo_v1.claim
--   Locks    as arvo_v1.settle, then as arvo_v1.claim (which waits for none)
--   Raises   as arvo_v1.settle and arvo_v1.claim
--            55P03  somebody has held a lock for two seconds: settle the results one by one
DECLARE
    v_claiming boolean := p_queues IS NOT NULL AND p_limit IS DISTINCT FROM 0;
    v_parted arvo.parted;
    v_asked arvo.claimable;
    v_ahead arvo.ahead;
    v_all arvo.leased[];
    v_busy boolean;
    v_leased arvo.leased;
BEGIN
    IF v_claiming OR p_results IS DISTINCT FROM '[]' THEN
        PERFORM arvo.require_read_committed('work');
        PERFORM arvo.require_home();
    END IF;
    IF p_results IS DISTINCT FROM '[]' THEN
        IF (arvo.close_one(p_results)).lease IS NULL THEN
            v_parted := arvo.close_plain(p_results);
        END IF;
        IF v_parted.items <> '{}' THEN
            -- If a single one is left: as if it had come alone.
            IF (arvo.close_one(v_parted.rest)).lease IS NOT NULL THEN
                v_parted.rest := '[]';
            END IF;
        END IF;
        IF v_parted.rest <> '[]' THEN
            RETURN QUERY
            SELECT
                'settled',
                verdict.lease,
                verdict.delivery,
                verdict.outcome,
                verdict.code,
                verdict.detail,
                NULL::text,
                NULL::integer,
                NULL::interval,
                NULL::jsonb,
                NULL::jsonb,
                NULL::jsonb,
                verdict.state_version,
                NULL::interval,
                NULL::bigint
            FROM arvo.settle_rest(v_parted) WITH ORDINALITY AS verdict
            WHERE verdict.outcome <> 'completed'
            ORDER BY verdict.ordinality;
        END IF;
    END IF;
    IF NOT v_claiming THEN
        RETURN;
    END IF;

    -- Nearly always that is all. Otherwise it has done nothing.
    RETURN QUERY
    SELECT taken.* FROM arvo.take(p_queues, p_limit, p_worker, p_limits, p_lease) AS taken;
    IF FOUND THEN
        RETURN;
    END IF;
    v_asked := arvo.lanes_to_claim(p_queues, p_limit, p_limits, p_lease);
    v_ahead := arvo.look_ahead();
    IF v_ahead.due THEN
        PERFORM arvo.promote();
    END IF;
    v_all := arvo.claim_lanes(v_asked, p_limit, p_worker, p_limits, p_lease);
    v_busy := v_all IS NULL;
    IF v_busy THEN
        v_all := '{}';
    END IF;
    FOREACH v_leased IN ARRAY v_all LOOP
        IF v_leased.rows IS NULL THEN
            RETURN QUERY
            SELECT
                'claimed',
                claimed.lease,
                claimed.delivery,
                NULL::text,
                NULL::text,
                NULL::text,
                claimed.queue,
                claimed.attempt,
                claimed.expire_in,
                claimed.event,
                claimed.cause,
                claimed.state,
                claimed.state_version,
                NULL::interval,
                claimed.key
            FROM arvo.hand_out(v_leased.queue, v_leased.lease, v_leased.batch) AS claimed;
        ELSE
            RETURN QUERY
            SELECT
                'claimed',
                claimed.lease,
                claimed.delivery,
                NULL::text,
                NULL::text,
                NULL::text,
                claimed.queue,
                claimed.attempt,
                claimed.expire_in,
                claimed.event,
                claimed.cause,
                claimed.state,
                claimed.state_version,
                NULL::interval,
                claimed.key
            FROM unnest(v_leased.rows) AS claimed;
        END IF;
    END LOOP;
    IF cardinality(v_all) = 0 THEN
        RETURN NEXT (
            'idle', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
            CASE
                WHEN pg_current_xact_id_if_assigned() IS NOT NULL AND arvo.has_own(p_queues)
                    THEN interval '0'
                ELSE least(
                    CASE WHEN v_busy THEN interval '10 milliseconds' END,
                    CASE
                        WHEN v_ahead.due THEN arvo.next_due()
                        WHEN v_ahead.next_at IS NOT NULL
                            THEN greatest(v_ahead.next_at - arvo.clock(), interval '0')
                    END,
                    CASE WHEN v_asked.limited THEN arvo.next_room(p_queues) END,
                    arvo.next_lapse(v_asked.lanes)
                )
            END,
            NULL
        )::arvo_v1.worked;
    END IF;
END;
$work$;

COMMENT ON FUNCTION arvo_v1.work(jsonb, text[], integer, text, integer[], interval) IS
'Settles results and claims the next deliveries, in one round trip and one commit.';

REVOKE ALL ON FUNCTION arvo_v1.work(jsonb, text[], integer, text, integer[], interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.work(jsonb, text[], integer, text, integer[], interval)
TO arvo_worker;
