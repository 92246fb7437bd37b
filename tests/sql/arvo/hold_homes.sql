-- arvo.hold_homes(items): contract, stories.
BEGIN;
SELECT plan(17);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.hold_homes(arvo.result[])',
    'boolean', 'plpgsql', 'volatile', false,
    'nobody',
    ARRAY['search_path=pg_catalog, pg_temp', 'enable_seqscan=off']
);

-- stories ---------------------------------------------------------------------------------------

DO $$
BEGIN
    PERFORM arvo_v1.register_queue('plain');
    PERFORM arvo_v1.register_queue('line', p_policy => 'ordered');
    PERFORM arvo_v1.register_queue('crowd', p_max_active => 2);
    PERFORM arvo_v1.register_queue('short', p_policy => 'short');
END;
$$;
COMMIT AND CHAIN;
-- Results of deliveries of some queues: 'queue' or 'queue verdict'.
CREATE FUNCTION pg_temp.hold(VARIADIC p_items text[]) RETURNS boolean
LANGUAGE sql AS $$
    SELECT arvo.hold_homes(array_agg(
        jsonb_populate_record(NULL::arvo.result, jsonb_build_object('lane', lane.lane, 'verdict', nullif(split_part(item, ' ', 2), '')))
        ORDER BY ordinal
    ))
    FROM unnest(p_items) WITH ORDINALITY AS given (item, ordinal)
    LEFT JOIN arvo.queue ON queue.name = split_part(item, ' ', 1)
    LEFT JOIN arvo.lane ON lane.queue = queue.queue
$$;
CREATE FUNCTION pg_temp.held() RETURNS text
LANGUAGE sql AS $$
    SELECT coalesce(string_agg(queue.name, ' ' ORDER BY queue.name), 'none')
    FROM pg_locks
    INNER JOIN arvo.lane ON lane.lane = pg_locks.objid::integer
    INNER JOIN arvo.queue ON queue.queue = lane.queue
    WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND classid = (hashtext('arvo')::bigint & 4294967295)::oid
$$;
SELECT is(pg_temp.hold('plain', 'plain'), false, 'a plain queue has nothing to pass on');
SELECT is(pg_temp.held(), 'none', 'nor to lock');
SELECT is(pg_temp.hold('short'), true, 'a slotted one has places to free');
SELECT is(pg_temp.held(), 'none', 'but no keys');
SELECT is(pg_temp.hold('line refused', 'crowd already'), true, 'nothing of these is closed');
SELECT is(pg_temp.held(), 'none', 'so nothing is locked');
SELECT is(ARRAY[pg_temp.hold('nobody'), pg_temp.hold('line conflict', 'plain', 'crowd refused')], '{false,true}', 'a conflict goes back');
SELECT is(pg_temp.held(), 'line', 'and its key goes on');
SELECT is(pg_temp.held() = 'line' AND pg_temp.hold('crowd', 'line', 'line'), true, 'more of them');
SELECT is(pg_temp.held(), 'crowd line', 'each once');

SELECT * FROM finish();
ROLLBACK;
