-- arvo.rebase_leased(): contract, stories.
BEGIN;
SELECT plan(12);
\ir ../given.psql
\ir ../restored.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.rebase_leased()',
    'bigint', 'plpgsql', 'volatile', false,
    'nobody',
    ARRAY['search_path=pg_catalog, pg_temp', 'enable_seqscan=off']
);

-- stories ---------------------------------------------------------------------------------------

DO $$
BEGIN
    PERFORM arvo_v1.register_queue('q', p_retry_limit => 1);
    PERFORM arvo_v1.register_queue('last', p_retry_limit => 0);
    PERFORM arvo_v1.dispatch(pg_temp.event(n::text, 'q')) FROM generate_series(1, 4) AS n;
    PERFORM arvo_v1.dispatch(pg_temp.event('5', 'last'));
END;
$$;
COMMIT AND CHAIN;
SELECT lease, array_agg(delivery ORDER BY delivery) AS taken
FROM arvo_v1.claim('{q}', 3) GROUP BY lease \gset
DO $$ BEGIN PERFORM arvo_v1.claim('{last}'); END; $$;
SELECT arvo_v1.settle(jsonb_build_array(pg_temp.result(:lease, (:'taken'::bigint[])[2])));
SELECT pg_temp.restore();
SELECT is(arvo.rebase_leased(), 3::bigint, 'what was leased and is open is taken back');
SELECT results_eq(
    format(
        'SELECT outcomes[1], deliveries FROM arvo.closure WHERE token = %s ORDER BY outcomes[1]',
        :lease
    ),
    format(
        $$ VALUES ('completed', ARRAY[%s]::bigint[]), ('expired', ARRAY[%s, %s]::bigint[]) $$,
        (:'taken'::bigint[])[2], (:'taken'::bigint[])[1], (:'taken'::bigint[])[3]
    ),
    'as expired, although its time is not over'
);
SELECT results_eq(
    $$ SELECT attempt, cause ->> 'outcome' FROM arvo.log WHERE cause IS NOT NULL $$,
    $$ VALUES (2, 'expired'), (2, 'expired') $$,
    'it runs again, with one attempt charged'
);
SELECT is((SELECT reason FROM arvo.dead), 'lease_expired', 'or is dead, when that was the last');
SELECT is(arvo.rebase_leased(), 0::bigint, 'and nothing is leased any more');

SELECT * FROM finish();
ROLLBACK;
