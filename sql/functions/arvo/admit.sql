-- arvo.admit(queue, batch) — which deliveries just read from the log may run, and which must wait.
CREATE OR REPLACE FUNCTION arvo.admit(p_queue arvo.queue, p_batch arvo.log[])
RETURNS arvo.taking
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $admit$
-- A delivery passes when its key has room and nobody stands in line before it; the holder of a key
-- passes always, and alone. The others are parked behind those who wait already. What its rate limit
-- stops is put off, except that an ordered key with a run under way must know first how that ends;
-- what has been withdrawn passes, uncounted, for it will be closed under the lease.
--
--   Reads    arvo.turn by (queue, key, number), arvo.tombstone, arvo.clock
--   Writes   arvo.turn, arvo.parked; as arvo.put_turns and arvo.put_off
--   Locks    nothing; the caller holds the queue's home lane
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
    v_taking arvo.taking := arvo.no_taking(NULL);
    v_line record;
    v_turn arvo.turn;
    v_turns arvo.turn[] := '{}'::arvo.turn[];
    v_keys bigint[];
    v_places bigint[];
    v_passed bigint[] := '{}'::bigint[];
    v_most integer;
    v_at integer;
    v_holder bigint;
    v_room integer;
    v_rate integer;
    v_parked integer := 0;
BEGIN
    IF cardinality(p_batch) = 1 THEN
        v_keys := ARRAY[arvo.key_for(p_queue, p_batch[1])];
        v_places := ARRAY[nextval('arvo.turn_number'::regclass)];
        -- One of a key that is known and free.
        IF p_queue.key_rate_limit IS NULL THEN
            UPDATE arvo.turn
            SET number = nextval('arvo.turn_number'::regclass),
                active = turn.active + 1,
                upto = v_places[1],
                at = v_now
            WHERE turn.ctid = (
                SELECT state.ctid
                FROM arvo.turn AS state
                WHERE state.queue = p_queue.queue AND state.key = v_keys[1]
                ORDER BY state.number DESC
                LIMIT 1
            )
            AND turn.waiting = 0
            -- Not = 0: that would let a plan walk the index of idle keys.
            AND turn.active < 1
            AND turn.holder IS NULL;
            IF FOUND THEN
                v_taking.batch := p_batch;
                v_taking.keys := v_keys;
                v_taking.places := v_places;
                v_taking.taken := 1;
                RETURN v_taking;
            END IF;
        END IF;
    ELSE
        SELECT
            array_agg(keyed.key ORDER BY keyed.ordinal),
            array_agg(keyed.place ORDER BY keyed.ordinal)
        INTO v_keys, v_places
        FROM (
            SELECT
                coalesce(
                    read.key,
                    CASE
                        WHEN p_queue.policy <> 'ordered' OR read.subject_key = 0 THEN 1
                        ELSE read.subject_key
                    END
                ) AS key,
                nextval('arvo.turn_number'::regclass) AS place,
                row_number() OVER () AS ordinal
            FROM unnest(p_batch) AS read
        ) AS keyed;
    END IF;

    -- All keys at once that have room for whatever of them was read, and nobody in line.
    IF p_queue.key_rate_limit IS NULL THEN
        v_turn.active := 0;
        v_most := arvo.key_room(p_queue, v_turn);
        WITH given AS MATERIALIZED (
            SELECT grouped.key, grouped.entries, grouped.upto, newest.address
            FROM (
                SELECT listed.key, count(*)::integer AS entries, max(listed.place) AS upto
                FROM unnest(v_keys, v_places) AS listed (key, place)
                GROUP BY listed.key
            ) AS grouped
            LEFT JOIN LATERAL (
                SELECT state.active, state.waiting, state.holder, state.ctid AS address
                FROM arvo.turn AS state
                WHERE state.queue = p_queue.queue AND state.key = grouped.key
                ORDER BY state.number DESC
                LIMIT 1
            ) AS newest ON true
            WHERE grouped.entries <= v_most - coalesce(newest.active, 0)
            AND (
                newest.address IS NULL
                OR (
                    newest.waiting = 0
                    AND newest.holder IS NULL
                    AND (p_queue.policy <> 'ordered' OR newest.active = 0)
                )
            )
        ),

        replaced AS (
            UPDATE arvo.turn
            SET number = nextval('arvo.turn_number'::regclass),
                active = turn.active + given.entries,
                upto = given.upto,
                at = v_now
            FROM given
            WHERE turn.ctid = given.address
        ),

        added AS (
            INSERT INTO arvo.turn (queue, key, number, active, waiting, upto, ready, tally, at)
            SELECT
                p_queue.queue, given.key, nextval('arvo.turn_number'::regclass), given.entries, 0,
                given.upto, false, '{}', v_now
            FROM given
            WHERE given.address IS NULL
        )

        SELECT coalesce(array_agg(given.key), '{}'), coalesce(sum(given.entries), 0)::integer
        INTO v_passed, v_taking.taken
        FROM given;
        IF v_taking.taken = cardinality(p_batch) THEN
            v_taking.batch := p_batch;
            v_taking.keys := v_keys;
            v_taking.places := v_places;
            RETURN v_taking;
        END IF;
    END IF;

    FOR v_line IN
        SELECT grouped.key, grouped.ordinals, grouped.deliveries, newest.turn
        FROM (
            SELECT
                keyed.key,
                array_agg(keyed.ordinal ORDER BY keyed.ordinal) AS ordinals,
                array_agg(keyed.delivery ORDER BY keyed.ordinal) AS deliveries
            FROM (
                SELECT v_keys[entry.ordinal] AS key, entry.delivery, entry.ordinal
                FROM (
                    SELECT read.delivery, row_number() OVER ()::integer AS ordinal
                    FROM unnest(p_batch) AS read
                ) AS entry
            ) AS keyed
            WHERE keyed.key <> ALL (v_passed)
            GROUP BY keyed.key
        ) AS grouped
        LEFT JOIN LATERAL (
            SELECT state AS turn
            FROM arvo.turn AS state
            WHERE state.queue = p_queue.queue AND state.key = grouped.key
            ORDER BY state.number DESC
            LIMIT 1
        ) AS newest ON true
        ORDER BY grouped.ordinals[1]
    LOOP
        v_turn := v_line.turn;
        IF v_turn.key IS NULL THEN
            v_turn.queue := p_queue.queue;
            v_turn.key := v_line.key;
            v_turn.active := 0;
            v_turn.waiting := 0;
            v_turn.upto := 0;
            v_turn.ready := false;
            v_turn.tally := '{}';
        END IF;
        v_holder := v_turn.holder;
        v_room := CASE
            WHEN v_turn.waiting = 0 THEN arvo.key_room(p_queue, v_turn) ELSE 0
        END;
        v_rate := 2147483647;
        IF p_queue.key_rate_limit IS NOT NULL THEN
            v_rate := arvo.rate_room(
                v_turn.tally, p_queue.key_rate_limit, p_queue.key_rate_period, v_now
            );
        END IF;
        FOR v_in_line IN 1..cardinality(v_line.ordinals) LOOP
            v_at := v_line.ordinals[v_in_line];
            IF v_line.deliveries[v_in_line] IS DISTINCT FROM v_holder
                AND (
                    v_holder IS NOT NULL OR v_room = 0 OR v_turn.waiting > 0
                    OR (v_rate = 0 AND p_queue.policy = 'ordered' AND v_turn.active > 0)
                )
            THEN
                v_turn.waiting := v_turn.waiting + 1;
                v_parked := v_parked + 1;
                v_places[v_at] := NULL;
                CONTINUE;
            END IF;

            -- The holder keeps its place before all who wait; it comes before what was taken last.
            IF v_line.deliveries[v_in_line] = v_holder THEN
                v_places[v_at] := v_turn.upto;
            ELSE
                v_turn.upto := v_places[v_at];
            END IF;
            v_turn.holder := NULL;
            IF v_rate = 0 AND NOT EXISTS (
                SELECT
                FROM arvo.tombstone
                WHERE tombstone.lane = p_batch[v_at].lane
                AND tombstone.delivery = p_batch[v_at].delivery
            ) THEN
                v_turn.holder := arvo.put_off(p_queue, v_turn, p_batch[v_at]);
                v_holder := v_turn.holder;
                v_taking.put_off := v_taking.put_off || v_line.deliveries[v_in_line];
            ELSE
                v_room := v_room - 1;
                v_turn.active := v_turn.active + 1;
                v_taking.taken := v_taking.taken + 1;
                IF p_queue.key_rate_limit IS NOT NULL THEN
                    v_turn.tally := arvo.rate_count(
                        v_turn.tally, least(v_rate, 1), p_queue.key_rate_period, v_now
                    );
                    v_rate := greatest(v_rate - 1, 0);
                END IF;
            END IF;
        END LOOP;
        v_turns := v_turns || v_turn;
    END LOOP;

    IF v_parked = 0 THEN
        v_taking.batch := p_batch;
        v_taking.keys := v_keys;
        v_taking.places := v_places;
    ELSE
        INSERT INTO arvo.parked (queue, key, place, delivery, lane, xid, at)
        SELECT
            p_queue.queue, v_keys[entry.ordinal], nextval('arvo.turn_number'::regclass),
            entry.delivery, entry.lane, entry.xid, entry.at
        FROM (
            SELECT read.delivery, read.lane, read.xid, read.at, row_number() OVER () AS ordinal
            FROM unnest(p_batch) AS read
        ) AS entry
        WHERE v_places[entry.ordinal] IS NULL
        ORDER BY entry.ordinal;
        SELECT
            coalesce(array_agg(passed.entry ORDER BY passed.ordinal), '{}'),
            coalesce(array_agg(v_keys[passed.ordinal] ORDER BY passed.ordinal), '{}'),
            coalesce(array_agg(v_places[passed.ordinal] ORDER BY passed.ordinal), '{}')
        INTO v_taking.batch, v_taking.keys, v_taking.places
        FROM (
            SELECT read AS entry, row_number() OVER () AS ordinal
            FROM unnest(p_batch) AS read
        ) AS passed
        WHERE v_places[passed.ordinal] IS NOT NULL;
    END IF;
    -- After the parked rows have their places: whoever is ready now finds them.
    PERFORM arvo.put_turns(p_queue, v_turns);
    RETURN v_taking;
END;
$admit$;

COMMENT ON FUNCTION arvo.admit(arvo.queue, arvo.log[]) IS
'Lets deliveries pass whose keys have room, and parks the others.';

REVOKE ALL ON FUNCTION arvo.admit(arvo.queue, arvo.log[]) FROM PUBLIC;
