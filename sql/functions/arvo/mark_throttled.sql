-- arvo.mark_throttled(items, options) — which arriving events their queue's policy does not take.
CREATE OR REPLACE FUNCTION arvo.mark_throttled(p_items arvo.arrival[], p_options arvo.options)
RETURNS arvo.arrival[]
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $mark_throttled$
-- singleton_for takes one event per key and interval; a further one goes to the next interval when
-- singleton_next_slot says so and that one is free. The policies short, stately and exclusive have
-- one place per key, where keys are as in arvo.key_for. Each event that gets in has taken its places.
--
--   Reads    arvo.queue, arvo.clock
--   Writes   arvo.throttle; as arvo.take_place
--   Locks    arvo.throttle rows, by (queue, key); as arvo.take_place
--   Raises   as arvo.take_place
DECLARE
    v_now timestamptz := arvo.clock();
    v_at integer;
    v_queue arvo.queue;
    v_key bigint;
    v_for interval;
    v_slot_at timestamptz;
    v_in_the_way bigint;
BEGIN
    FOR v_at, v_key IN
        SELECT
            arrived.ordinal,
            coalesce(
                arrived.key,
                CASE
                    WHEN queue.policy = 'ordered'
                        THEN nullif(hashtextextended(arrived.event ->> 'subject', 0), 0)
                END,
                1
            ) AS key
        FROM unnest(p_items) AS arrived
        INNER JOIN arvo.queue ON queue.queue = arrived.queue
        WHERE arrived.outcome IS NULL
        AND (
            queue.slotted OR queue.singleton_for IS NOT NULL OR p_options.singleton_for IS NOT NULL
        )
        ORDER BY arrived.queue, key, arrived.ordinal
    LOOP
        SELECT queue.* INTO STRICT v_queue
        FROM arvo.queue
        WHERE queue.queue = p_items[v_at].queue;
        v_for := coalesce(p_options.singleton_for, v_queue.singleton_for);
        IF v_for IS NOT NULL THEN
            v_for := make_interval(secs => extract(epoch FROM v_for)::double precision);
            v_slot_at := date_bin(
                v_for, v_now + greatest(p_items[v_at].after, interval '0'), '1970-01-01 00:00:00+00'
            );
            INSERT INTO arvo.throttle (queue, key, slot_at, until, delivery)
            VALUES (v_queue.queue, v_key, v_slot_at, v_slot_at + v_for, p_items[v_at].delivery)
            ON CONFLICT (queue, key, slot_at) DO NOTHING;
            IF NOT FOUND
                AND coalesce(p_options.singleton_next_slot, v_queue.singleton_next_slot)
            THEN
                v_slot_at := v_slot_at + v_for;
                INSERT INTO arvo.throttle (queue, key, slot_at, until, delivery)
                VALUES (v_queue.queue, v_key, v_slot_at, v_slot_at + v_for, p_items[v_at].delivery)
                ON CONFLICT (queue, key, slot_at) DO NOTHING;
                IF FOUND THEN
                    p_items[v_at].outcome := 'debounced';
                    p_items[v_at].after := v_slot_at - v_now;
                END IF;
            END IF;
            IF NOT FOUND THEN
                SELECT throttle.delivery INTO v_in_the_way
                FROM arvo.throttle
                WHERE throttle.queue = v_queue.queue
                AND throttle.key = v_key
                AND throttle.slot_at = v_slot_at;
                p_items[v_at].outcome := 'throttled';
                p_items[v_at].first_delivery := v_in_the_way;
                CONTINUE;
            END IF;
        END IF;

        IF v_queue.slotted THEN
            v_in_the_way := arvo.take_place(
                v_queue.queue,
                CASE WHEN v_queue.policy = 'exclusive' THEN 'any' ELSE 'queued' END,
                v_key, p_items[v_at].delivery
            );
            IF v_in_the_way IS NOT NULL THEN
                p_items[v_at].outcome := 'throttled';
                p_items[v_at].first_delivery := v_in_the_way;
                DELETE FROM arvo.throttle
                WHERE throttle.queue = v_queue.queue
                AND throttle.key = v_key
                AND throttle.slot_at = v_slot_at
                AND throttle.delivery = p_items[v_at].delivery;
            END IF;
        END IF;
    END LOOP;

    -- A duplicate of one in this very call that was not let in was not let in either.
    FOR v_at, v_in_the_way IN
        SELECT later.ordinal, kept_out.first_delivery
        FROM unnest(p_items) AS later
        INNER JOIN unnest(p_items) AS kept_out ON kept_out.delivery = later.first_delivery
        WHERE later.outcome = 'duplicate' AND kept_out.outcome = 'throttled'
    LOOP
        p_items[v_at].outcome := 'throttled';
        p_items[v_at].first_delivery := v_in_the_way;
    END LOOP;
    RETURN p_items;
END;
$mark_throttled$;

COMMENT ON FUNCTION arvo.mark_throttled(arvo.arrival[], arvo.options) IS
'Marks arriving events that singleton_for or the policy of their queue keeps out or puts off.';

REVOKE ALL ON FUNCTION arvo.mark_throttled(arvo.arrival[], arvo.options) FROM PUBLIC;
