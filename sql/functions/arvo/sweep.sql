-- arvo.sweep(head, most, all) — take back what expired leases of a lane still hold.
CREATE OR REPLACE FUNCTION arvo.sweep(
    p_head arvo.lease,
    p_most integer,
    p_all boolean DEFAULT false
)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $sweep$
-- p_head is the newest row of the lane; its caller holds the lane. Reads at most p_most rows of the
-- ledger, by their number: looking by expiry would walk every live lease behind the last expired
-- one. An expired lease that somebody is settling or extending at this moment is left to the next
-- sweep. p_all takes back the others as well: for arvo_v1.rebase, when nobody can be settling. Returns
-- the new lower bound: no older row holds an open delivery.
--
--   Reads    arvo.lease, arvo.closure, arvo.clock
--   Writes   arvo.closure; as arvo.give_back
--   Locks    each expired lease, tried, never waited for
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
    v_open_from bigint;
    v_blocked bigint;
    v_lease record;
    v_open bigint[];
BEGIN
    SELECT coalesce(max(expired.number), p_head.open_from - 1) + 1
    INTO v_open_from
    FROM arvo.lease AS expired
    WHERE expired.lane = p_head.lane
    AND expired.number >= p_head.open_from
    AND expired.number < p_head.open_from + p_most
    AND (p_all OR expired.expires_at <= v_now);

    FOR v_lease IN
        SELECT
            expired.number,
            expired.token,
            expired.deliveries,
            expired.low_xid,
            expired.high_xid
        FROM arvo.lease AS expired
        WHERE expired.lane = p_head.lane
        AND expired.number >= p_head.open_from
        AND expired.number < v_open_from
        AND expired.token <> 0
        AND (
            expired.carried
            OR cardinality(expired.deliveries) > (
                SELECT coalesce(sum(cardinality(closure.deliveries)), 0)
                FROM arvo.closure
                WHERE closure.token = expired.token
            )
        )
        ORDER BY expired.number
    LOOP
        IF NOT p_all AND NOT pg_try_advisory_xact_lock(arvo.lease_key(v_lease.token)) THEN
            v_blocked := coalesce(v_blocked, v_lease.number);
            CONTINUE;
        END IF;
        -- A heartbeat may have carried it forward since: then the newer row answers for it.
        CONTINUE WHEN EXISTS (
            SELECT
            FROM arvo.lease AS newer
            WHERE newer.token = v_lease.token AND newer.number > v_lease.number
        );
        -- Asked again under the lock: a settlement may have committed since.
        v_open := arvo.open_deliveries(v_lease.token, v_lease.deliveries);
        CONTINUE WHEN v_open = '{}';

        INSERT INTO arvo.closure (slot, token, at, deliveries, outcomes, run_times)
        VALUES (
            arvo.slot(), v_lease.token, v_now, v_open, '{expired}',
            array_fill(NULL::integer, ARRAY[cardinality(v_open)])
        );
        PERFORM arvo.give_back(
            p_head.lane, v_lease.low_xid, v_lease.high_xid, expired.delivery, 'expired',
            jsonb_build_object(
                'name', 'LeaseExpired',
                'message', 'the worker did not report back before its lease expired',
                'stack', NULL
            )
        )
        FROM unnest(v_open) WITH ORDINALITY AS expired (delivery, ordinal)
        ORDER BY expired.ordinal;
    END LOOP;
    RETURN coalesce(v_blocked, v_open_from);
END;
$sweep$;

COMMENT ON FUNCTION arvo.sweep(arvo.lease, integer, boolean) IS
'Takes back the open deliveries of a lane''s expired leases; returns the new lower bound.';

REVOKE ALL ON FUNCTION arvo.sweep(arvo.lease, integer, boolean) FROM PUBLIC;
