-- arvo.close_plain(results) — complete what needs nothing but an entry in the journal.
CREATE OR REPLACE FUNCTION arvo.close_plain(p_results jsonb)
RETURNS arvo.parted
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $close_plain$
-- Nearly all results are plain: completed, no events, no state, of a queue without keys and places,
-- open under the lease that they name, and no dead letter. They are closed here, by lease, with a few statements for each
-- lease and nothing for each delivery. Whatever is not as plain as that, or names a delivery twice, is
-- left to arvo_v1.settle as it is, and nothing of it is judged. A group of deliveries is closed also
-- when other items of its lease are left; single items of a lease are closed together or not at all.
--
--   Reads    arvo.lease and arvo.closure by token, arvo.lane, arvo.queue, arvo.dead, arvo.generation,
--            arvo.clock
--   Writes   arvo.closure
--   Locks    all leases that are named, in order of their tokens
--   Raises   RV006  p_results is not an array, or names more than 10000 deliveries
DECLARE
    v_now timestamptz := arvo.clock();
    v_count integer;
    v_total integer;
    v_tokens bigint[] := '{}'::bigint[];
    v_token bigint;
    v_plain arvo.completion[] := '{}'::arvo.completion[];
    v_done arvo.completion;
    v_slot smallint;
    v_low smallint;
    v_high smallint;
    v_held record;
    v_open boolean;
    v_closed arvo.completion[] := '{}'::arvo.completion[];
    v_taken integer := 0;
    v_parted arvo.parted;
BEGIN
    IF jsonb_typeof(p_results) = 'array' THEN
        v_count := jsonb_array_length(p_results);
    END IF;
    v_total := v_count;
    IF v_count = 1 THEN
        v_done := arvo.completion_of(p_results -> 0);
        IF v_done.lease IS NULL THEN
            v_tokens := ARRAY[arvo.as_bigint(p_results -> 0 -> 'lease')];
        ELSE
            v_done.items := '{1}';
            v_plain := ARRAY[v_done];
            v_tokens := ARRAY[v_done.lease];
        END IF;
        IF jsonb_typeof(p_results -> 0 -> 'deliveries') = 'array' THEN
            v_total := jsonb_array_length(p_results -> 0 -> 'deliveries');
        END IF;
    ELSIF v_count BETWEEN 2 AND 10000 THEN
        WITH item AS MATERIALIZED (
            SELECT
                listed.ordinal::integer AS ordinal,
                CASE
                    WHEN listed.item ->> 'lease' ~ '^[0-9]{1,18}$'
                        THEN (listed.item ->> 'lease')::bigint
                    ELSE arvo.as_bigint(listed.item -> 'lease')
                END AS lease,
                CASE
                    WHEN listed.item ->> 'delivery' ~ '^[0-9]{1,18}$'
                        THEN (listed.item ->> 'delivery')::bigint
                    ELSE arvo.as_bigint(listed.item -> 'delivery')
                END AS delivery,
                CASE
                    WHEN listed.item ->> 'run_time' ~ '^[0-9]{1,10}$'
                        THEN least((listed.item ->> 'run_time')::bigint, 2147483647)::integer
                END AS run_time,
                listed.item ->> 'outcome' = 'completed'
                AND coalesce(listed.item -> 'events', '[]') IN ('[]', 'null')
                AND listed.item ->> 'state' IS NULL
                AND listed.item ->> 'after' IS NULL
                AND listed.item ->> 'deliveries' IS NULL AS plain,
                CASE
                    WHEN jsonb_typeof(listed.item -> 'deliveries') = 'array'
                        THEN jsonb_array_length(listed.item -> 'deliveries')
                    ELSE 1
                END AS members,
                listed.item ->> 'deliveries' IS NOT NULL AS grouped,
                CASE
                    WHEN listed.item ->> 'deliveries' IS NOT NULL THEN arvo.completion_of(listed.item)
                END AS completion
            FROM jsonb_array_elements(p_results) WITH ORDINALITY AS listed (item, ordinal)
        ),

        named AS (
            SELECT
                item.lease,
                sum(item.members) AS members,
                count((item.completion).lease) AS groups,
                -- An item may lack its outcome: bool_and would pass over NULL.
                bool_and(coalesce(item.plain AND item.delivery IS NOT NULL, false)) AS plain,
                -- A group that is unusual is looked at closely, with what it names.
                count(*) FILTER (WHERE item.grouped) > count((item.completion).lease) AS unusual,
                array_agg(item.ordinal ORDER BY item.ordinal) AS items,
                array_agg(item.delivery ORDER BY item.ordinal) AS deliveries,
                array_agg(item.run_time ORDER BY item.ordinal) AS run_times,
                array_agg(item.completion) AS completions,
                array_agg(item.ordinal) FILTER (WHERE (item.completion).lease IS NOT NULL) AS places,
                array_agg(item.delivery) FILTER (WHERE item.delivery IS NOT NULL) AS others
            FROM item
            GROUP BY item.lease
        )

        SELECT
            coalesce(array_agg(named.lease ORDER BY named.lease), '{}'),
            coalesce(
                array_agg(
                    CASE
                        WHEN named.groups = 1 THEN (
                            named.lease,
                            (whole.completion).deliveries,
                            (whole.completion).run_times,
                            named.places,
                            named.others
                        )::arvo.completion
                        ELSE (
                            named.lease, named.deliveries, named.run_times, named.items, NULL
                        )::arvo.completion
                    END
                    ORDER BY named.lease
                ) FILTER (
                    WHERE (named.groups = 1 AND NOT named.unusual)
                    OR (named.groups = 0 AND named.plain)
                ),
                '{}'
            ),
            sum(named.members)::integer
        INTO v_tokens, v_plain, v_total
        FROM named
        LEFT JOIN LATERAL (
            SELECT listed AS completion
            FROM unnest(named.completions) AS listed
            WHERE named.groups = 1 AND listed.lease IS NOT NULL
        ) AS whole ON true;
    END IF;
    IF v_total IS NULL OR v_total > 10000 OR v_count > 10000 THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = 'results',
              DETAIL = CASE
                  WHEN v_count IS NULL THEN
                      format('results is of type %s.', coalesce(jsonb_typeof(p_results), 'null'))
                  WHEN v_count > 10000 THEN format('results has %s items.', v_count)
                  ELSE format('results names %s deliveries.', v_total)
              END,
              HINT = CASE
                  WHEN v_count IS NULL THEN 'Give a JSON array of results.'
                  ELSE 'Settle at most 10000 results in one call.'
              END;
    END IF;

    FOREACH v_token IN ARRAY v_tokens LOOP
        CONTINUE WHEN pg_advisory_xact_lock(arvo.lease_key(v_token)) IS NULL;
    END LOOP;

    v_slot := arvo.slot();
    FOREACH v_done IN ARRAY v_plain LOOP
        -- A statement of its own: it must see what the last holder of the lock committed. A lease
        -- whose newest row stands in the slot in use has its closures since then there as well;
        -- those from before are of deliveries that the row does not have.
        v_low := v_slot;
        v_high := v_slot;
        LOOP
            SELECT
                newest.lane,
                newest.deliveries,
                newest.keys IS NOT NULL OR queue.gated OR queue.slotted AS bound,
                queue.guarded,
                queue.name,
                (
                    SELECT array_agg(gone.delivery)
                    FROM arvo.closure
                    CROSS JOIN LATERAL unnest(closure.deliveries) AS gone (delivery)
                    WHERE closure.token = v_done.lease
                    AND closure.slot BETWEEN v_low AND v_high
                ) AS closed,
                EXISTS (
                    SELECT
                    FROM arvo.dead
                    WHERE dead.dead_letter_lane = newest.lane
                    AND dead.dead_letter_delivery >= (
                        SELECT min(completed.delivery)
                        FROM unnest(v_done.deliveries) AS completed (delivery)
                    )
                    AND dead.resolution IS NULL
                ) AS buried
            INTO v_held
            FROM (
                SELECT lease.lane, lease.deliveries, lease.keys
                FROM arvo.lease
                WHERE lease.token = v_done.lease
                AND lease.token <> 0
                AND lease.slot BETWEEN v_low AND v_high
                ORDER BY lease.number DESC
                LIMIT 1
            ) AS newest
            INNER JOIN arvo.lane ON lane.lane = newest.lane
            INNER JOIN arvo.queue ON queue.queue = lane.queue;
            EXIT WHEN FOUND OR v_low <> v_high;
            v_low := 0;
            v_high := 3;
        END LOOP;
        CONTINUE WHEN v_held.bound IS DISTINCT FROM false OR v_held.buried;
        CONTINUE WHEN v_held.guarded AND NOT arvo.may(v_held.name, 'consume');

        v_open := v_held.closed IS NULL AND v_done.others IS NULL AND (
            v_held.deliveries = v_done.deliveries
            OR (
                cardinality(v_done.deliveries) = 1
                AND v_done.deliveries[1] = ANY (v_held.deliveries)
            )
        );
        IF NOT v_open THEN
            -- All are the lease's, none is closed, none is named twice: by sorting, not by pairs.
            v_open := (
                SELECT count(DISTINCT met.delivery) = cardinality(v_held.deliveries)
                FROM unnest(v_held.deliveries || v_done.deliveries) AS met (delivery)
            ) AND (
                SELECT count(DISTINCT met.delivery) = count(*)
                FROM unnest(
                    v_done.deliveries || v_held.closed || ARRAY(
                        SELECT DISTINCT other.delivery
                        FROM unnest(v_done.others) AS other (delivery)
                        EXCEPT
                        SELECT gone.delivery FROM unnest(v_held.closed) AS gone (delivery)
                    )
                ) AS met (delivery)
            );
        END IF;
        CONTINUE WHEN NOT v_open;

        INSERT INTO arvo.closure (slot, token, at, deliveries, outcomes, run_times)
        VALUES (
            v_slot, v_done.lease, v_now, v_done.deliveries, '{completed}', v_done.run_times
        );
        v_closed := v_closed || v_done;
        v_taken := v_taken + cardinality(v_done.items);
    END LOOP;

    v_parted.closed := v_closed;
    v_parted.items := '{}';
    IF v_taken = v_count THEN
        v_parted.rest := '[]';
    ELSIF v_taken = 0 THEN
        v_parted.rest := p_results;
    ELSE
        SELECT
            jsonb_agg(listed.item ORDER BY listed.ordinal),
            array_agg(listed.ordinal::integer ORDER BY listed.ordinal)
        INTO v_parted.rest, v_parted.items
        FROM jsonb_array_elements(p_results) WITH ORDINALITY AS listed (item, ordinal)
        WHERE NOT listed.ordinal IN (
            SELECT taken.ordinal
            FROM unnest(v_closed) AS done
            CROSS JOIN LATERAL unnest(done.items) AS taken (ordinal)
        );
    END IF;
    RETURN v_parted;
END;
$close_plain$;

COMMENT ON FUNCTION arvo.close_plain(jsonb) IS
'Closes what a settlement plainly completes, lease by lease; returns that, and what is left.';

REVOKE ALL ON FUNCTION arvo.close_plain(jsonb) FROM PUBLIC;
