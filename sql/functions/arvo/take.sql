-- arvo.take(queues, limit, worker, limits, lease) — claim from queues that are plain, or leave it to arvo_v1.work.
CREATE OR REPLACE FUNCTION arvo.take(
    p_queues text[],
    p_limit integer,
    p_worker text,
    p_limits integer[],
    p_lease interval
)
RETURNS SETOF arvo_v1.worked
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $take$
-- What arvo_v1.work does without results, in half its time, for the call that most are: a few queues,
-- named in full, that neither order nor limit what they give and are open to everybody, while nothing
-- deferred or scheduled is due. Answers as arvo_v1.work; no row at all when the call is not of that
-- kind, or not right: then nothing has been done. One statement finds out, with the lanes, the
-- partition, and whether the numbers are of this cluster. Under the lock of a lane one more reads
-- cursor, rules and window; if there is more to a lane, arvo.claim_lane looks at it closely.
--
--   Reads    arvo.queue, arvo.lane, arvo.generation, arvo.origin, arvo.server_start, arvo.tombstone,
--            arvo.lease by (lane, number), arvo.log by (lane, xid, delivery), arvo.clock; as
--            arvo.look_ahead, arvo.claim_lane, arvo.is_worth_claiming, arvo.hand_out, arvo.has_own
--            and arvo.next_lapse
--   Writes   arvo.lease (one row for each lane); as arvo.claim_lane
--   Locks    each lane: tried, never waited for; as arvo.claim_lane
--   Raises   as arvo.claim_lane
DECLARE
    v_now timestamptz := arvo.clock();
    v_start integer := floor(random() * 1000000000)::integer;
    v_own pg_snapshot;
    v_call record;
    v_ahead arvo.ahead;
    v_lane integer;
    v_place integer;
    v_left integer := p_limit;
    v_quota integer[] := p_limits;
    v_want integer;
    v_found record;
    v_lease arvo.lease;
    v_leased arvo.leased;
    v_count integer;
    v_busy boolean;
    v_closely boolean;
    v_lapse timestamptz;
BEGIN
    IF (
        current_setting('transaction_isolation') = 'read committed'
        AND p_limit BETWEEN 1 AND 10000
        AND cardinality(p_queues) BETWEEN 1 AND 8
        AND coalesce(cardinality(p_limits) = cardinality(p_queues), true)
        AND p_lease BETWEEN interval '1 second' AND interval '5 minutes'
    ) IS NOT TRUE THEN
        RETURN;
    END IF;
    IF pg_current_xact_id_if_assigned() IS NOT NULL THEN
        v_own := arvo.window_snapshot();
    END IF;

    SELECT
        listed.lanes,
        listed.places,
        (
            SELECT generation.slot
            FROM arvo.generation
            ORDER BY generation.number DESC
            LIMIT 1
        ) AS slot,
        (
            SELECT
                origin.system_identifier = server_start.system_identifier
                AND coalesce(origin.relation = 'arvo.origin'::regclass::oid, true)
            FROM arvo.origin
            LEFT JOIN arvo.server_start ON server_start.started_at = pg_postmaster_start_time()
            ORDER BY origin.number DESC
            LIMIT 1
        ) AS home,
        -- as arvo.look_ahead
        coalesce(ahead.due_at <= v_now, false)
        OR coalesce(ahead.fire_at <= v_now, false)
        OR (ahead.fire_at IS NOT NULL AND ahead.fire_floor = '-infinity')
        OR pg_snapshot_xmax(ahead.upto)::text::bigint
        - pg_snapshot_xmax(ahead.snapshot)::text::bigint > 1000
        OR EXISTS (
            SELECT
            FROM arvo.deferred
            WHERE (deferred.xid, deferred.delivery) >= (pg_snapshot_xmax(ahead.snapshot), 0)
            AND deferred.xid < pg_snapshot_xmax(ahead.upto)
            AND pg_visible_in_snapshot(deferred.xid, ahead.upto)
        ) AS due,
        least(ahead.due_at, ahead.fire_at) AS next_at,
        pg_snapshot_xmin(ahead.snapshot) < pg_snapshot_xmax(ahead.snapshot) AS open
    INTO v_call
    FROM (
        SELECT
            array_agg(member.lane) AS lanes,
            array_agg(member.place) AS places,
            bool_and(coalesce(member.plain, false)) AS plain
        FROM (
            SELECT
                lane.lane,
                asked.position::integer AS place,
                NOT queue.gated
                AND queue.rate_limit IS NULL
                AND NOT queue.guarded
                AND queue.registered
                AND queue.paused_at IS NULL AS plain
            FROM unnest(p_queues) WITH ORDINALITY AS asked (name, position)
            LEFT JOIN arvo.queue ON queue.name = asked.name
            LEFT JOIN arvo.lane ON lane.queue = queue.queue AND NOT lane.retired
            ORDER BY
                (asked.position + v_start) % cardinality(p_queues),
                lane.priority DESC,
                hashint4extended(lane.lane, v_start)
        ) AS member
    ) AS listed
    CROSS JOIN (
        SELECT
            head.snapshot,
            coalesce(v_own, pg_current_snapshot()) AS upto,
            pass.fire_floor,
            (
                SELECT deferred.due
                FROM arvo.deferred
                WHERE (deferred.due, deferred.delivery) > (head.due, head.delivery)
                ORDER BY deferred.due, deferred.delivery
                LIMIT 1
            ) AS due_at,
            (
                SELECT schedule.next_at
                FROM arvo.schedule
                WHERE schedule.next_at > pass.fire_floor
                ORDER BY schedule.next_at
                LIMIT 1
            ) AS fire_at
        FROM (
            SELECT newest.due, newest.delivery, newest.snapshot
            FROM arvo.promotion AS newest
            ORDER BY newest.number DESC
            LIMIT 1
        ) AS head
        CROSS JOIN (
            SELECT
                CASE
                    WHEN newest.swept_at > v_now - interval '10 seconds'
                        AND newest.swept_at <= v_now
                        AND newest.done_to <= v_now
                        THEN newest.done_to
                    ELSE '-infinity'
                END AS fire_floor
            FROM arvo.fire_pass AS newest
            ORDER BY newest.number DESC
            LIMIT 1
        ) AS pass
    ) AS ahead
    WHERE listed.plain;
    IF v_call.home IS NOT TRUE OR v_call.due THEN
        RETURN;
    END IF;
    IF v_call.open THEN
        v_ahead := arvo.look_ahead();
        IF v_ahead.due THEN
            RETURN;
        END IF;
    END IF;

    FOR v_at IN 1 .. cardinality(v_call.lanes) LOOP
        v_place := v_call.places[v_at];
        v_want := least(v_left, v_quota[v_place]);
        CONTINUE WHEN v_want <= 0;
        v_lane := v_call.lanes[v_at];
        IF NOT pg_try_advisory_xact_lock(hashtext('arvo'), v_lane) THEN
            v_busy := coalesce(v_busy, false) OR arvo.is_worth_claiming(v_lane);
            v_closely := true;
            CONTINUE;
        END IF;
        IF pg_current_xact_id_if_assigned() IS NOT NULL THEN
            v_own := arvo.window_snapshot();
        END IF;
        -- A statement of its own: it must see what the last holder of the lock committed. Its snapshot
        -- is the new window's end, unless this transaction has a number: see arvo.window_snapshot.
        SELECT
            own AS queue,
            own.stateful,
            head.number,
            head.expires_at,
            head.snapshot,
            head.open_from,
            head.sweep_at,
            head.ready_from,
            head.upto,
            taken.entries,
            taken.deliveries,
            taken.xids
        INTO v_found
        FROM (
            SELECT
                newest.number,
                newest.expires_at,
                newest.snapshot,
                newest.exhausted,
                newest.open_from,
                newest.sweep_at,
                newest.ready_from,
                coalesce(v_own, pg_current_snapshot()) AS upto
            FROM arvo.lease AS newest
            WHERE newest.lane = v_lane AND newest.slot = v_call.slot
            ORDER BY newest.number DESC
            LIMIT 1
        ) AS head
        INNER JOIN arvo.lane ON lane.lane = v_lane
        INNER JOIN arvo.queue AS own ON own.queue = lane.queue
        CROSS JOIN LATERAL (
            SELECT
                array_agg(entry.entry ORDER BY entry.xid, entry.delivery) AS entries,
                array_agg(entry.delivery ORDER BY entry.xid, entry.delivery) AS deliveries,
                array_agg(entry.xid ORDER BY entry.xid, entry.delivery) AS xids
            FROM (
                SELECT log AS entry, log.xid, log.delivery
                FROM arvo.log
                WHERE log.lane = v_lane
                AND (log.xid, log.delivery) > (pg_snapshot_xmax(head.snapshot), 0)
                AND log.xid < pg_snapshot_xmax(head.upto)
                AND pg_visible_in_snapshot(log.xid, head.upto)
                ORDER BY log.xid, log.delivery
                LIMIT v_want
            ) AS entry
        ) AS taken
        WHERE head.exhausted
        AND head.sweep_at > v_now
        AND pg_snapshot_xmin(head.snapshot) = pg_snapshot_xmax(head.snapshot)
        AND pg_snapshot_xmax(head.snapshot) <= pg_snapshot_xmax(head.upto)
        AND NOT own.gated
        AND NOT own.slotted
        AND own.paused_at IS NULL
        AND own.drained_to IS NULL
        AND NOT EXISTS (SELECT FROM arvo.tombstone WHERE tombstone.lane = v_lane)
        -- The log may have turned since the lanes were looked up, and the newest cursor stand elsewhere.
        AND v_call.slot = (
            SELECT generation.slot
            FROM arvo.generation
            ORDER BY generation.number DESC
            LIMIT 1
        );

        IF NOT FOUND THEN
            v_closely := true;
            v_leased := arvo.claim_lane(v_lane, v_want, left(p_worker, 200), p_lease);
            v_count := cardinality(v_leased.batch);
            CONTINUE WHEN v_count IS NULL;
        ELSE
            v_count := cardinality(v_found.deliveries);
            v_lapse := least(v_lapse, v_found.sweep_at);
            CONTINUE WHEN v_count IS NULL;
            -- as arvo.write_lease
            v_lease.token := (nextval('arvo.lease_number'::regclass) << 12)
                | floor(random() * 4096)::bigint;
            v_lease.expires_at := greatest(v_now + p_lease, v_found.expires_at);
            INSERT INTO arvo.lease (
                slot, lane, number, token, worker, leased_at, expires_at, carried, deliveries,
                low_xid, high_xid, previous_snapshot, snapshot, last_xid, last_delivery,
                exhausted, open_from, sweep_at, xids, ready_from
            )
            VALUES (
                v_call.slot,
                v_lane,
                v_found.number + 1,
                v_lease.token,
                left(p_worker, 200),
                v_now,
                v_lease.expires_at,
                false,
                v_found.deliveries,
                v_found.xids[1],
                v_found.xids[v_count],
                v_found.snapshot,
                v_found.upto,
                v_found.xids[v_count],
                v_found.deliveries[v_count],
                v_count < v_want,
                v_found.open_from,
                least(v_found.sweep_at, v_lease.expires_at),
                CASE
                    WHEN v_found.xids[1] = v_found.xids[v_count] THEN v_found.xids[1:1]
                    ELSE v_found.xids
                END,
                v_found.ready_from
            );
            v_leased.queue := v_found.queue;
            v_leased.lease := v_lease;
            v_leased.batch := v_found.entries;
        END IF;

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
        v_left := v_left - v_count;
        EXIT WHEN v_left <= 0;
        v_quota[v_place] := v_quota[v_place] - v_count;
    END LOOP;

    IF v_left = p_limit THEN
        RETURN NEXT (
            'idle', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
            CASE
                WHEN pg_current_xact_id_if_assigned() IS NOT NULL AND arvo.has_own(p_queues)
                    THEN interval '0'
                ELSE least(
                    CASE WHEN v_busy THEN interval '10 milliseconds' END,
                    CASE
                        WHEN v_call.next_at IS NOT NULL
                            THEN greatest(v_call.next_at - arvo.clock(), interval '0')
                    END,
                    CASE
                        WHEN v_closely THEN arvo.next_lapse(v_call.lanes)
                        WHEN v_lapse < 'infinity'
                            THEN greatest(v_lapse - arvo.clock(), interval '0.5 seconds')
                    END
                )
            END,
            NULL
        )::arvo_v1.worked;
    END IF;
END;
$take$;

COMMENT ON FUNCTION arvo.take(text[], integer, text, integer[], interval) IS
'Claims from a few plain queues while nothing is due; answers nothing at all when there is more to it.';

REVOKE ALL ON FUNCTION arvo.take(text[], integer, text, integer[], interval) FROM PUBLIC;
