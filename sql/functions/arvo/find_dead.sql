-- arvo.find_dead(filter, after, limit, resolved) — the next dead letters that pass a filter.
CREATE OR REPLACE FUNCTION arvo.find_dead(
    p_filter arvo.dead_filter,
    p_after bigint,
    p_limit integer,
    p_resolved boolean
)
RETURNS SETOF arvo.dead
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_sort = off
SET jit = off
SET plan_cache_mode = force_custom_plan
AS $find_dead$
-- In the order of their numbers, from the first after p_after; with p_resolved the resolved ones
-- too. One branch runs: by number, else by subject, else by queue (the one they failed in and the
-- one that received them), else in order. Each asks for an order that only its own index has:
-- any other plan would walk over all that was ever resolved. Letters of queues that the caller may not
-- operate are not there for him.
--
--   Reads    arvo.dead, arvo.queue_guard; as arvo.may
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_by text := CASE
        WHEN p_filter.dead IS NOT NULL THEN 'number'
        WHEN p_filter.subject IS NOT NULL THEN 'subject'
        WHEN p_filter.queue IS NOT NULL THEN 'queue'
        ELSE 'order'
    END;
    -- Nothing but a queue is asked for: then its branches need not look at any letter.
    v_all boolean := num_nonnulls(
        p_filter.dead, p_filter.reason, p_filter.since, p_filter.before, p_filter.event_type,
        p_filter.subject, p_filter.path, p_filter.contains
    ) = 0;
    v_guarded boolean := EXISTS (
        SELECT FROM arvo.queue_guard AS guard WHERE guard.may = 'operate'
    );
BEGIN
    RETURN QUERY
    SELECT found.*
    FROM (
        (
            SELECT letter.*
            FROM arvo.dead AS letter
            WHERE v_by = 'number'
            AND letter.dead = ANY (p_filter.dead)
            AND letter.dead > p_after
            AND (p_resolved OR coalesce(letter.resolution, 'open') = 'open')
            AND (NOT v_guarded OR arvo.may(letter.queue, 'operate'))
            AND arvo.dead_fits(letter, p_filter)
            OFFSET 0
        )
        UNION ALL
        (
            SELECT letter.*
            FROM arvo.dead AS letter
            WHERE v_by = 'subject'
            AND letter.subject_key = hashtextextended(p_filter.subject, 0)
            AND letter.dead > p_after
            AND (p_resolved OR coalesce(letter.resolution, 'open') = 'open')
            AND (NOT v_guarded OR arvo.may(letter.queue, 'operate'))
            AND arvo.dead_fits(letter, p_filter)
            OFFSET 0
        )
        UNION ALL
        (
            SELECT letter.*
            FROM arvo.dead AS letter
            WHERE v_by = 'queue'
            AND letter.resolution IS NULL
            AND (letter.queue, letter.dead) > (p_filter.queue, p_after)
            AND letter.queue <= p_filter.queue
            AND (NOT v_guarded OR arvo.may(letter.queue, 'operate'))
            AND (v_all OR arvo.dead_fits(letter, p_filter))
            ORDER BY letter.queue, letter.dead
            LIMIT p_limit
        )
        UNION ALL
        (
            SELECT letter.*
            FROM arvo.dead AS letter
            WHERE v_by = 'queue'
            AND letter.resolution IS NULL
            AND (letter.dead_letter, letter.dead) > (p_filter.queue, p_after)
            AND letter.dead_letter <= p_filter.queue
            AND letter.queue <> p_filter.queue
            AND (NOT v_guarded OR arvo.may(letter.queue, 'operate'))
            AND (v_all OR arvo.dead_fits(letter, p_filter))
            ORDER BY letter.dead_letter, letter.dead
            LIMIT p_limit
        )
        UNION ALL
        (
            SELECT letter.*
            FROM arvo.dead AS letter
            WHERE v_by = 'queue'
            AND p_resolved
            AND letter.resolution IS NOT NULL
            AND (letter.queue, letter.dead) > (p_filter.queue, p_after)
            AND letter.queue <= p_filter.queue
            AND (NOT v_guarded OR arvo.may(letter.queue, 'operate'))
            AND (v_all OR arvo.dead_fits(letter, p_filter))
            ORDER BY letter.queue, letter.dead
            LIMIT p_limit
        )
        UNION ALL
        (
            SELECT letter.*
            FROM arvo.dead AS letter
            WHERE v_by = 'queue'
            AND p_resolved
            AND letter.resolution IS NOT NULL
            AND (letter.dead_letter, letter.dead) > (p_filter.queue, p_after)
            AND letter.dead_letter <= p_filter.queue
            AND letter.queue <> p_filter.queue
            AND (NOT v_guarded OR arvo.may(letter.queue, 'operate'))
            AND (v_all OR arvo.dead_fits(letter, p_filter))
            ORDER BY letter.dead_letter, letter.dead
            LIMIT p_limit
        )
        UNION ALL
        (
            SELECT letter.*
            FROM arvo.dead AS letter
            WHERE v_by = 'order'
            AND NOT p_resolved
            AND letter.resolution IS NULL
            AND letter.dead > p_after
            AND (NOT v_guarded OR arvo.may(letter.queue, 'operate'))
            AND (v_all OR arvo.dead_fits(letter, p_filter))
            ORDER BY letter.resolution, letter.dead
            LIMIT p_limit
        )
        UNION ALL
        (
            SELECT letter.*
            FROM arvo.dead AS letter
            WHERE v_by = 'order'
            AND p_resolved
            AND letter.dead > p_after
            AND (NOT v_guarded OR arvo.may(letter.queue, 'operate'))
            AND (v_all OR arvo.dead_fits(letter, p_filter))
            ORDER BY letter.dead
            LIMIT p_limit
        )
    ) AS found
    ORDER BY found.dead
    LIMIT p_limit;
END;
$find_dead$;

COMMENT ON FUNCTION arvo.find_dead(arvo.dead_filter, bigint, integer, boolean) IS
'The next dead letters that pass a filter, in order, by index.';

REVOKE ALL ON FUNCTION arvo.find_dead(arvo.dead_filter, bigint, integer, boolean) FROM PUBLIC;
