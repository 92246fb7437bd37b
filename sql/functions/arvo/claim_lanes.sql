-- arvo.claim_lanes(asked, limit, worker, limits, lease) — lease deliveries from some lanes.
CREATE OR REPLACE FUNCTION arvo.claim_lanes(
    p_asked arvo.claimable,
    p_limit integer,
    p_worker text,
    p_limits integer[],
    p_lease interval
)
RETURNS arvo.leased[]
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $claim_lanes$
-- One lane after the other, until p_limit deliveries have been leased. A lane that another session is
-- claiming from is left alone; NULL when nothing has been leased and there is something to do in such
-- a lane, of which the other may not take all. Past 32 lanes, one with nothing to do is not locked, and
-- at most 512 more are. A gated queue is claimed under the lock of its home lane as well.
--
--   Reads    as arvo.is_worth_claiming, arvo.claim_lane, arvo.claim_gated
--   Writes   as arvo.claim_lane and arvo.claim_gated
--   Locks    each lane: tried, never waited for
--   Raises   as arvo.claim_lane
DECLARE
    v_lane integer;
    v_home integer;
    v_place integer;
    v_left integer := p_limit;
    v_quota integer[] := p_limits;
    v_want integer;
    v_got integer;
    v_locked integer := 0;
    v_busy boolean := false;
    v_leased arvo.leased;
    v_all arvo.leased[] := '{}'::arvo.leased[];
BEGIN
    IF v_left <= 0 THEN
        RETURN v_all;
    END IF;
    FOR v_at IN 1 .. cardinality(p_asked.lanes) LOOP
        v_place := p_asked.places[v_at];
        v_want := least(v_left, v_quota[v_place]);
        CONTINUE WHEN v_want <= 0;
        v_lane := p_asked.lanes[v_at];
        IF v_locked >= 32 THEN
            EXIT WHEN v_locked >= 544;
            CONTINUE WHEN NOT arvo.is_worth_claiming(v_lane);
        END IF;
        IF p_asked.gated[v_at] THEN
            v_home := arvo.home_lane(p_asked.queues[v_at]);
            IF NOT pg_try_advisory_xact_lock(hashtext('arvo'), v_home)
                OR NOT pg_try_advisory_xact_lock(hashtext('arvo'), v_lane)
            THEN
                v_busy := v_busy OR arvo.is_worth_claiming(v_lane);
                CONTINUE;
            END IF;
            v_locked := v_locked + 1 + (v_home <> v_lane)::integer;
            v_leased := NULL;
            SELECT array_agg(taken) INTO v_leased.rows
            FROM arvo.claim_gated(v_lane, v_home, v_want, left(p_worker, 200), p_lease) AS taken;
            v_got := cardinality(v_leased.rows);
        ELSE
            IF NOT pg_try_advisory_xact_lock(hashtext('arvo'), v_lane) THEN
                v_busy := v_busy OR arvo.is_worth_claiming(v_lane);
                CONTINUE;
            END IF;
            v_locked := v_locked + 1;
            v_leased := arvo.claim_lane(v_lane, v_want, left(p_worker, 200), p_lease);
            v_got := cardinality(v_leased.batch);
        END IF;
        CONTINUE WHEN v_got IS NULL;
        v_all := v_all || v_leased;
        v_left := v_left - v_got;
        EXIT WHEN v_left <= 0;
        v_quota[v_place] := v_quota[v_place] - v_got;
    END LOOP;
    IF v_busy AND cardinality(v_all) = 0 THEN
        RETURN NULL;
    END IF;
    RETURN v_all;
END;
$claim_lanes$;

COMMENT ON FUNCTION arvo.claim_lanes(arvo.claimable, integer, text, integer[], interval) IS
'Leases deliveries from the lanes that a claim names, one lane after the other.';

REVOKE ALL ON FUNCTION
arvo.claim_lanes(arvo.claimable, integer, text, integer[], interval) FROM PUBLIC;
