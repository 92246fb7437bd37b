-- arvo.find_dead(filter, after, limit, resolved): contract, stories.
BEGIN;
SELECT plan(27);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.find_dead(arvo.dead_filter,bigint,integer,boolean)',
    'SETOF arvo.dead', 'plpgsql', 'stable', false,
    'nobody',
    ARRAY[
        'search_path=pg_catalog, pg_temp',
        'enable_seqscan=off',
        'enable_bitmapscan=off',
        'enable_sort=off',
        'jit=off',
        'plan_cache_mode=force_custom_plan'
    ]
);

-- Events 1 to 8 died in turn in a (received by b), b (received by a), a (by nobody) and c (by b); 1
-- and 2 are resolved.
INSERT INTO arvo.dead (
    delivery, queue, dead_letter, event_id, subject_key, event_key, event, attempts, reason, died_at, resolution, resolved_at
)
SELECT
    n, ('{c,a,b,a}'::text[])[n % 4 + 1], ('{b,b,a,null}'::text[])[n % 4 + 1], n, hashtextextended('s' || n % 2, 0), hashtextextended(n::text, 0),
    pg_temp.event(n::text, 'x', jsonb_build_object('subject', 's' || n % 2, 'data', jsonb_build_object('n', n))), 1, 'failed',
    timestamptz '2030-01-01 00:00:00Z' + n * interval '1 second',
    CASE WHEN n <= 2 THEN 'redriven' END, CASE WHEN n <= 2 THEN timestamptz '2030-01-01 00:00:09Z' END
FROM generate_series(1, 8) AS n
ORDER BY n;
CREATE FUNCTION pg_temp.found(
    p_filter jsonb, p_resolved boolean DEFAULT false, p_limit integer DEFAULT 10, p_after_event integer DEFAULT 0
) RETURNS text
LANGUAGE sql AS $$
    SELECT string_agg(event_id, ' ' ORDER BY ordinality)
    FROM arvo.find_dead(
        jsonb_populate_record(NULL::arvo.dead_filter, p_filter),
        coalesce((SELECT dead FROM arvo.dead WHERE delivery = p_after_event), 0), p_limit, p_resolved
    ) WITH ORDINALITY
$$;

-- stories ---------------------------------------------------------------------------------------

SELECT is(pg_temp.found('{}'), '3 4 5 6 7 8', 'all open ones, in order');
SELECT is(pg_temp.found('{}', true), '1 2 3 4 5 6 7 8', 'all');
SELECT is(pg_temp.found('{}', false, 2, 3), '4 5', 'a page of the open ones');
SELECT is(pg_temp.found('{}', true, 2, 1), '2 3', 'a page of all');
SELECT is(pg_temp.found('{"queue": "a"}'), '3 5 6 7', 'of a queue: what failed there and what it received, in one order');
SELECT is(pg_temp.found('{"queue": "a"}', true), '1 2 3 5 6 7', 'also the resolved ones');
SELECT is(pg_temp.found('{"queue": "a"}', true, 3, 2), '3 5 6', 'page by page');
SELECT is(pg_temp.found('{"queue": "a"}', false, 2, 5), '6 7', 'also the open ones');
SELECT is(pg_temp.found('{"queue": "b"}'), '4 5 6 8', 'of the next queue');
SELECT is(pg_temp.found('{"queue": "aa"}'), NULL, 'of one that nobody knows');
SELECT is(pg_temp.found('{"queue": "a", "path": "$.data.n >= 6"}'), '6 7', 'of a queue, with another filter');
SELECT is(pg_temp.found('{"queue": "a", "path": "$.data.n >= 6"}', true, 1), '6', 'which is asked before the page is full');
SELECT is(pg_temp.found('{"path": "$.data.n == 2 || $.data.n == 7"}'), '7', 'by another filter only');
SELECT is(pg_temp.found('{"path": "$.data.n == 2 || $.data.n == 7"}', true), '2 7', 'resolved or not');
SELECT is(pg_temp.found('{"subject": "s1"}'), '3 5 7', 'by subject');
SELECT is(pg_temp.found('{"subject": "s1", "queue": "b"}', true), '1 5', 'and queue');
SELECT is(
    pg_temp.found(jsonb_build_object('dead', (SELECT array_agg(dead ORDER BY dead DESC) FROM arvo.dead WHERE delivery IN (2, 5, 8)))), '5 8',
    'by number, in order'
);
SELECT is(
    pg_temp.found(jsonb_build_object('queue', 'a', 'dead', (SELECT array_agg(dead) FROM arvo.dead WHERE delivery IN (2, 5, 8))), true), '2 5',
    'and queue, resolved or not'
);
UPDATE arvo.dead SET dead_letter = 'a' WHERE delivery = 7;
SELECT is(pg_temp.found('{"queue": "a"}'), '3 5 6 7', 'what came back to its own queue is found once');
UPDATE arvo.dead SET dead_letter = 'a' WHERE delivery = 1;
SELECT is(pg_temp.found('{"queue": "a"}', true), '1 2 3 5 6 7', 'also the resolved one');

SELECT * FROM finish();
ROLLBACK;
