-- arvo.settle_rest(parted): contract, and that both callers settle alike.
BEGIN;
SELECT plan(10);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.settle_rest(arvo.parted)',
    'SETOF arvo_v1.settled', 'plpgsql', 'volatile', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

-- What a call answers and writes, but for numbers that differ; then it is undone.
CREATE FUNCTION pg_temp.told(p_way text, p_results jsonb) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    v_told text;
BEGIN
    BEGIN
        IF p_way = 'work' THEN
            SELECT string_agg(concat_ws(' ', delivery, outcome, code, detail), E'\n' ORDER BY delivery) INTO v_told
            FROM arvo_v1.work(p_results);
        ELSE
            SELECT string_agg(concat_ws(' ', delivery, outcome, code, detail), E'\n' ORDER BY delivery) INTO v_told
            FROM arvo_v1.settle(p_results) WHERE outcome <> 'completed';
        END IF;
        v_told := concat_ws(
            E'\n', v_told,
            (SELECT string_agg(concat_ws(' ', gone.delivery, outcomes[least(gone.place, cardinality(outcomes))]), E'\n'
                 ORDER BY gone.delivery)
             FROM arvo.closure CROSS JOIN LATERAL unnest(deliveries) WITH ORDINALITY AS gone (delivery, place)),
            (SELECT string_agg(event ->> 'id', ' ' ORDER BY delivery) FROM arvo.log)
        );
        RAISE EXCEPTION 'undone' USING ERRCODE = 'P0099';
    EXCEPTION WHEN SQLSTATE 'P0099' THEN
    END;
    RETURN v_told;
END;
$$;
SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
SELECT arvo_v1.register_queue('a');
SELECT arvo_v1.dispatch_many((SELECT jsonb_agg(pg_temp.event(n::text, 'a')) FROM generate_series(1, 4) AS n));
COMMIT AND CHAIN;
CREATE TEMPORARY TABLE held AS SELECT lease, delivery, event ->> 'id' AS id FROM arvo_v1.claim('{a}', 4, 'w1');
COMMIT AND CHAIN;
CREATE FUNCTION pg_temp.given(p_more jsonb) RETURNS jsonb
LANGUAGE sql AS $$
    SELECT jsonb_agg(pg_temp.result(lease, delivery) || coalesce(p_more -> id, '{}') ORDER BY delivery) FROM held
$$;
SELECT is(pg_temp.told('work', results), pg_temp.told('settle', results), what)
FROM (
    SELECT 'some emit, one fails' AS what, pg_temp.given(jsonb_build_object(
        '1', jsonb_build_object('events', jsonb_build_array(pg_temp.event('e1', 'a'))),
        '2', jsonb_build_object('events', jsonb_build_array(pg_temp.event('e2', 'a') - 'id')),
        '3', '{"outcome": "failed"}'::jsonb
    )) AS results
    UNION ALL
    SELECT 'a group, and one that emits', (
        SELECT jsonb_build_array(
            jsonb_build_object('lease', min(lease), 'outcome', 'completed',
                'deliveries', jsonb_agg(delivery ORDER BY delivery) FILTER (WHERE id <> '4')),
            pg_temp.result(min(lease), min(delivery) FILTER (WHERE id = '4'), 'completed',
                jsonb_build_object('events', jsonb_build_array(pg_temp.event('e4', 'a'))))
        ) FROM held
    )
    UNION ALL
    SELECT 'one is another''s', jsonb_build_array(pg_temp.result(7, 7)) || pg_temp.given('{}')
) AS given;

SELECT * FROM finish();
ROLLBACK;
