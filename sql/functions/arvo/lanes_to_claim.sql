-- arvo.lanes_to_claim(queues, limit, limits, lease) — the lanes of the queues that a claim names.
CREATE OR REPLACE FUNCTION arvo.lanes_to_claim(
    p_queues text[],
    p_limit integer,
    p_limits integer[],
    p_lease interval
)
RETURNS arvo.claimable
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $lanes_to_claim$
-- In the order in which a claim goes through them: from a random queue on, also among those that a
-- star stands for; of one queue the higher priority first. Paused queues and retired lanes are left
-- out. One queue, and several that are all named in full, are the usual cases: each has a statement of
-- its own.
--
--   Reads    arvo.queue, arvo.lane
--   Writes   nothing
--   Locks    nothing
--   Raises   RV003  a queue is not known
--            RV006  an argument is not valid
--            RV007  a queue is closed to the caller
DECLARE
    v_start integer := floor(random() * 1000000000)::integer;
    v_asked arvo.claimable;
    v_unknown text;
    v_argument text;
    v_guarded boolean;
BEGIN
    v_argument := CASE
        WHEN p_queues IS NULL OR cardinality(p_queues) = 0 THEN 'queues'
        WHEN p_limit IS NULL OR p_limit NOT BETWEEN 0 AND 10000 THEN 'limit'
        WHEN cardinality(p_limits) <> cardinality(p_queues) THEN 'limits'
        WHEN p_lease IS NULL OR p_lease NOT BETWEEN interval '1 second' AND interval '5 minutes'
            THEN 'lease'
    END;
    IF v_argument IS NOT NULL THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = v_argument,
              DETAIL = format('%s queues, limit %s, %s limits, lease %s', cardinality(p_queues),
                              p_limit, cardinality(p_limits), p_lease),
              HINT = 'Name at least one queue; limit is 0 to 10000; limits has one number for each'
                     ' queue; lease is 1 second to 5 minutes: a longer run is kept by extend.';
    END IF;
    IF cardinality(p_queues) = 1 AND p_queues[1] NOT LIKE '%*' THEN
        SELECT
            array_agg(listed.lane),
            array_agg(1),
            array_agg(listed.queue),
            array_agg(listed.gated),
            coalesce(bool_or(listed.limited), false),
            bool_or(listed.guarded)
        INTO
            v_asked.lanes, v_asked.places, v_asked.queues, v_asked.gated, v_asked.limited,
            v_guarded
        FROM (
            SELECT
                lane.lane,
                named.queue,
                named.gated,
                named.rate_limit IS NOT NULL AS limited,
                named.guarded OR NOT named.registered AS guarded
            FROM arvo.queue AS named
            INNER JOIN arvo.lane ON lane.queue = named.queue AND NOT lane.retired
            WHERE named.name = p_queues[1] AND named.paused_at IS NULL
            ORDER BY lane.priority DESC
        ) AS listed;
    ELSIF p_queues::text NOT LIKE '%*%' THEN
        SELECT
            array_agg(listed.lane),
            array_agg(listed.position),
            array_agg(listed.queue),
            array_agg(listed.gated),
            coalesce(bool_or(listed.limited), false),
            bool_or(listed.guarded)
        INTO
            v_asked.lanes, v_asked.places, v_asked.queues, v_asked.gated, v_asked.limited,
            v_guarded
        FROM (
            SELECT
                lane.lane,
                asked.position::integer AS position,
                named.queue,
                named.gated,
                named.rate_limit IS NOT NULL AS limited,
                named.guarded OR NOT named.registered AS guarded
            FROM unnest(p_queues) WITH ORDINALITY AS asked (name, position)
            INNER JOIN arvo.queue AS named
                ON named.name = asked.name AND named.paused_at IS NULL
            INNER JOIN arvo.lane ON lane.queue = named.queue AND NOT lane.retired
            ORDER BY
                (asked.position + v_start) % cardinality(p_queues),
                lane.priority DESC,
                hashint4extended(lane.lane, v_start)
        ) AS listed;
    ELSE
        SELECT
            array_agg(listed.lane),
            array_agg(listed.position),
            array_agg(listed.queue),
            array_agg(listed.gated),
            coalesce(bool_or(listed.limited), false),
            bool_or(listed.guarded)
        INTO
            v_asked.lanes, v_asked.places, v_asked.queues, v_asked.gated, v_asked.limited,
            v_guarded
        FROM (
            SELECT
                lane.lane,
                asked.position::integer AS position,
                named.queue,
                named.gated,
                named.rate_limit IS NOT NULL AS limited,
                named.guarded OR NOT named.registered AS guarded
            FROM unnest(p_queues) WITH ORDINALITY AS asked (name, position)
            CROSS JOIN LATERAL (
                SELECT queue.queue, queue.gated, queue.rate_limit, queue.guarded, queue.registered
                FROM arvo.queue
                WHERE queue.name = asked.name AND queue.paused_at IS NULL
                UNION ALL
                SELECT queue.queue, queue.gated, queue.rate_limit, queue.guarded, queue.registered
                FROM arvo.queue
                WHERE asked.name LIKE '%*' AND starts_with(queue.name, left(asked.name, -1))
                AND queue.paused_at IS NULL
            ) AS named
            INNER JOIN arvo.lane ON lane.queue = named.queue AND NOT lane.retired
            ORDER BY
                (asked.position + v_start) % cardinality(p_queues),
                lane.priority DESC,
                hashint4extended(lane.lane, v_start)
        ) AS listed;
    END IF;

    -- A queue that was found need not be asked about: each has a lane, unless it is paused.
    IF v_asked.lanes IS NULL OR cardinality(p_queues) > 1 THEN
        SELECT asked.name INTO v_unknown
        FROM unnest(p_queues) AS asked (name)
        WHERE asked.name IS NULL
        OR (
            NOT asked.name LIKE '%*'
            AND NOT EXISTS (SELECT FROM arvo.queue WHERE queue.name = asked.name)
        )
        LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'queue is not known'
            USING ERRCODE = 'RV003',
                  COLUMN = 'queues',
                  DETAIL = format('queue: %s', left(to_json(v_unknown)::text, 80)),
                  HINT = 'Register the queue before claiming from it.';
        END IF;
    END IF;
    v_asked.lanes := coalesce(v_asked.lanes, '{}');
    IF v_guarded THEN
        RETURN arvo.open_lanes(v_asked, p_queues);
    END IF;
    RETURN v_asked;
END;
$lanes_to_claim$;

COMMENT ON FUNCTION arvo.lanes_to_claim(text[], integer, integer[], interval) IS
'The lanes of the queues that a claim names, in the order in which it goes through them.';

REVOKE ALL ON FUNCTION arvo.lanes_to_claim(text[], integer, integer[], interval) FROM PUBLIC;
