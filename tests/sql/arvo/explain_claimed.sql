-- arvo.explain_claimed(log row): contract, stories.
BEGIN;
SELECT plan(14);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.explain_claimed(arvo.log)',
    'SETOF arvo_v1.explanation', 'plpgsql', 'volatile', false,
    'nobody',
    ARRAY[
        'search_path=pg_catalog, pg_temp',
        'enable_seqscan=off',
        'enable_hashjoin=off',
        'enable_mergejoin=off',
        'jit=off'
    ]
);

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
DO $$
BEGIN
    PERFORM arvo_v1.register_queue('q', p_retry_limit => 1, p_retry_delay => '1 minute');
    PERFORM arvo_v1.dispatch_many((SELECT jsonb_agg(pg_temp.event(n::text, 'q')) FROM generate_series(1, 3) AS n));
END;
$$;
COMMIT AND CHAIN;
CREATE FUNCTION pg_temp.told(p_delivery bigint) RETURNS text
LANGUAGE sql AS $$
    SELECT string_agg(
        concat_ws(' | ', told.place, told.reason, regexp_replace(told.detail, 'lease [0-9]+', 'lease N'), to_char(told.until AT TIME ZONE 'UTC', 'HH24:MI:SS')), '; '
    )
    FROM arvo.log CROSS JOIN LATERAL arvo.explain_claimed(log) AS told WHERE log.delivery = p_delivery
$$;
SET TIME ZONE 'UTC';
SELECT is(pg_temp.told(1), NULL, 'not claimed');
SELECT count(*) FROM arvo_v1.check_in('w', '{q}') \gset
CREATE TEMPORARY TABLE held AS SELECT * FROM arvo_v1.claim('{q}', 2, 'w', p_lease => '60 seconds');
COMMIT AND CHAIN;
SELECT is(
    pg_temp.told(1), 'leased | leased | Attempt 1, claimed by "w" at 2030-01-01 00:00:00+00 under lease N. | 00:01:00', 'in a worker''s hands'
);
SET arvo.frozen_clock = '2030-01-01T00:00:31Z';
SELECT matches(pg_temp.told(1), '00:01:00; leased \| worker \| "w" has not checked in since\. \| 00:00:00$', 'which may be dead');
SET arvo.frozen_clock = '2030-01-01T00:01:00Z';
SELECT matches(pg_temp.told(1), '^leased \| lapsed \|', 'its lease has lapsed');
SET arvo.frozen_clock = '2030-01-01T00:00:40Z';
SELECT count(*) FROM arvo_v1.settle((SELECT jsonb_agg(pg_temp.result(lease, delivery, CASE delivery WHEN 1 THEN 'failed' ELSE 'rejected' END,
    '{"run_time": 1500000}')) FROM held)) \gset
COMMIT AND CHAIN;
SELECT is(
    pg_temp.told(1),
    'closed | closed | Attempt 1 of "w": retried, after 00:00:01.5. | 00:00:40; closed | again | Its event went on as delivery 4, attempt 2. | 00:00:40',
    'it failed, and goes on as another delivery'
);
SELECT is(
    pg_temp.told(2), 'closed | closed | Attempt 1 of "w": dead, after 00:00:01.5. | 00:00:40; closed | dead | Dead letter 1: rejected, open. | 00:00:40', 'it died'
);
SET arvo.frozen_clock = '2030-01-01T00:02:00Z';
SELECT arvo.promote() \gset
SELECT matches(pg_temp.told(1), '; closed \| again \| Its event went on as delivery 4, attempt 2\. \| 00:02:00$', 'promoted it is told once');

SELECT * FROM finish();
ROLLBACK;
