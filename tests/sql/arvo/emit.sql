-- arvo.emit(events): contract, and that it writes what arvo.append writes.
BEGIN;
SELECT plan(16);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.emit(jsonb[])',
    'void', 'plpgsql', 'volatile', false,
    'nobody'
);

-- What a way of appending leaves behind, but for numbers, in their order; then it is undone.
CREATE FUNCTION pg_temp.written(p_way text, p_events jsonb[]) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    v_rows text;
BEGIN
    BEGIN
        IF p_way = 'emit' THEN
            PERFORM arvo.emit(p_events);
        ELSE
            PERFORM FROM arvo.append(p_events, NULL, false, true, p_asking => true);
        END IF;
        SELECT string_agg(line, E'\n' ORDER BY delivery) INTO v_rows
        FROM (
            SELECT delivery, concat_ws(
                ' ', 'log', queue.name, attempt, at, subject_key, event_key, event, key, dedup_key, origin_delivery IS NULL
            ) AS line
            FROM arvo.log INNER JOIN arvo.lane USING (lane) INNER JOIN arvo.queue USING (queue)
            WHERE xid = pg_current_xact_id()
            UNION ALL
            SELECT delivery, concat_ws(' ', 'deferred', queue.name, due, subject_key, event_key, event)
            FROM arvo.deferred INNER JOIN arvo.lane USING (lane) INNER JOIN arvo.queue USING (queue)
        ) AS found;
        RAISE EXCEPTION 'undone' USING ERRCODE = 'P0099';
    EXCEPTION WHEN SQLSTATE 'P0099' THEN
    END;
    RETURN v_rows;
END;
$$;

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
SELECT arvo_v1.register_queue('a');
SELECT arvo_v1.register_queue('b', p_policy => 'ordered');
SELECT arvo_v1.register_queue('later', p_start_after => '1 minute');
SELECT arvo_v1.register_queue('arvo.domain.review');
COMMIT AND CHAIN;

-- stories ---------------------------------------------------------------------------------------

SELECT is(pg_temp.written('emit', given.events), pg_temp.written('append', given.events), given.what)
FROM (VALUES
    ('one', ARRAY[pg_temp.event('1', 'a')]),
    ('several of several queues, in order', ARRAY[
        pg_temp.event('2', 'a'), pg_temp.event('1', 'b'), pg_temp.event('3', 'a'), pg_temp.event('4', 'b')
    ]),
    ('without a time, and in a domain', ARRAY[
        pg_temp.event('1', 'a') - 'time', pg_temp.event('2', 'a', '{"domain": "review"}')
    ]),
    ('the same twice: a settlement happens once', ARRAY[pg_temp.event('1', 'a'), pg_temp.event('1', 'a')]),
    ('one of many is put off', ARRAY[pg_temp.event('1', 'a'), pg_temp.event('2', 'later')]),
    ('one of many goes where nobody is', ARRAY[pg_temp.event('1', 'a'), pg_temp.event('2', 'nobody')])
) AS given (what, events);
SELECT arvo.emit(ARRAY[pg_temp.event('1', 'a'), pg_temp.event('1', 'a')]);
SELECT is((SELECT count(*) FROM arvo.log), 2::bigint, 'each is there');
SELECT is((SELECT count(dedup_key) FROM arvo.log), 0::bigint, 'without a key to be known by');
SELECT isnt(pg_temp.written('append', ARRAY[pg_temp.event('1', 'a')]), NULL, 'what was compared is something');

SELECT * FROM finish();
ROLLBACK;
