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
-- sweep, and so is a gated queue whose home lane somebody else holds. Of a run of an ordered key only
-- the first can have been running: the others go back uncharged. p_all takes back what has not
-- expired as well, and asks for no lock: for arvo_v1.rebase, when nobody can be settling. Returns the
-- new lower bound: no older row holds an open delivery.
--
--   Reads    arvo.lease, arvo.closure, arvo.lane, arvo.queue, arvo.clock
--   Writes   arvo.closure; as arvo.give_back, arvo.pass_turns and arvo.leave_places
--   Locks    the home lane of a gated queue, each expired lease: tried, never waited for
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
    v_open_from bigint;
    v_blocked bigint;
    v_queue arvo.queue;
    v_lease arvo.lease;
    v_open bigint[];
    v_items arvo.result[];
    v_item arvo.result;
    v_done arvo.result[];
BEGIN
    SELECT queue.* INTO STRICT v_queue
    FROM arvo.lane
    INNER JOIN arvo.queue ON queue.queue = lane.queue
    WHERE lane.lane = p_head.lane;
    IF v_queue.gated AND NOT p_all AND NOT pg_try_advisory_xact_lock(
        hashtext('arvo'), arvo.home_lane(v_queue.queue)
    ) THEN
        RETURN p_head.open_from;
    END IF;

    SELECT coalesce(max(expired.number), p_head.open_from - 1) + 1
    INTO v_open_from
    FROM arvo.lease AS expired
    WHERE expired.lane = p_head.lane
    AND expired.number >= p_head.open_from
    AND expired.number < p_head.open_from + p_most
    AND (p_all OR expired.expires_at <= v_now);

    FOR v_lease IN
        SELECT expired.*
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

        IF v_queue.policy <> 'ordered' THEN
            v_lease.places := NULL;  -- it was ordered when this was leased
        END IF;
        SELECT
            array_agg(
                arvo.lease_item(v_lease, leased.ordinal, NULL) ORDER BY leased.ordinal
            ),
            array_agg(v_lease.deliveries[leased.ordinal] ORDER BY leased.ordinal)
        INTO v_items, v_open
        FROM (
            SELECT
                held.ordinal::integer AS ordinal,
                row_number() OVER (
                    PARTITION BY
                        CASE
                            WHEN v_lease.places IS NULL THEN held.delivery
                            ELSE v_lease.keys[held.ordinal]
                        END
                    ORDER BY v_lease.places[held.ordinal]
                ) AS turn
            FROM unnest(v_lease.deliveries) WITH ORDINALITY AS held (delivery, ordinal)
            WHERE held.delivery = ANY (v_open)
        ) AS leased
        WHERE leased.turn = 1;

        INSERT INTO arvo.closure (slot, token, at, deliveries, outcomes, run_times)
        VALUES (
            arvo.slot(), v_lease.token, v_now, v_open, '{expired}',
            array_fill(NULL::integer, ARRAY[cardinality(v_open)])
        );
        v_done := '{}';
        FOREACH v_item IN ARRAY v_items LOOP
            v_item.asked := 'expired';
            v_item.error := jsonb_build_object(
                'name', 'LeaseExpired',
                'message', 'the worker did not report back before its lease expired',
                'stack', NULL
            );
            v_done := v_done || arvo.give_back(v_item, v_queue);
        END LOOP;
        IF v_queue.gated THEN
            PERFORM arvo.pass_turns(v_queue, v_done);
        END IF;
        IF v_queue.slotted THEN
            PERFORM arvo.leave_places(v_queue, v_lease, ARRAY(
                SELECT item.delivery FROM unnest(v_done) AS item WHERE item.verdict = 'dead'
            ));
        END IF;
    END LOOP;
    RETURN coalesce(v_blocked, v_open_from);
END;
$sweep$;

COMMENT ON FUNCTION arvo.sweep(arvo.lease, integer, boolean) IS
'Takes back the open deliveries of a lane''s expired leases; returns the new lower bound.';

REVOKE ALL ON FUNCTION arvo.sweep(arvo.lease, integer, boolean) FROM PUBLIC;
