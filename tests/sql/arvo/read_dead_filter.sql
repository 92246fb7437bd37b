-- arvo.read_dead_filter(dead, queue, …, limit, required): contract, stories, refusals.
BEGIN;
SELECT plan(18);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.read_dead_filter(bigint[],text,text,timestamptz,timestamptz,text,text,jsonpath,text,integer,boolean)',
    'arvo.dead_filter', 'plpgsql', 'immutable', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SELECT is(
    to_jsonb(arvo.read_dead_filter(
        '{7, 8}', 'q', 'failed', '2030-01-01 00:00:00Z', '2030-01-02 00:00:00Z', 'com.test.event', 'order-1', '$.data', 'x', 10, true
    )),
    to_jsonb(('{7, 8}', 'q', 'failed', '2030-01-01 00:00:00Z', '2030-01-02 00:00:00Z', 'com.test.event', 'order-1', '$."data"', 'x')::arvo.dead_filter),
    'each argument has its place'
);
SELECT ok(
    arvo.read_dead_filter(NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '', 1, false) IS NULL,
    'nothing is asked for, which may be; an empty text asks for nothing'
);
SELECT is(
    (arvo.read_dead_filter(NULL, NULL, reason, NULL, NULL, NULL, NULL, NULL, NULL, 10000, true)).reason, reason, reason
)
FROM unnest('{failed,rejected,lease_expired,retention}'::text[]) AS reason;

-- refusals --------------------------------------------------------------------------------------

CREATE FUNCTION pg_temp.refused(p_reason text, p_limit integer, p_required boolean) RETURNS text
LANGUAGE sql AS $$
    SELECT pg_temp.raised(format(
        'SELECT arvo.read_dead_filter(NULL, NULL, %L, NULL, NULL, NULL, NULL, NULL, '''', %L, %L)', p_reason, p_limit, p_required
    ))
$$;
SELECT is(
    pg_temp.refused('it"s', 1, false), 'RV006 | argument is not valid | reason | reason: "it\"s"', 'no such reason'
);
SELECT is(pg_temp.refused('failed', 0, true), 'RV006 | argument is not valid | limit | limit: 0', 'none at all');
SELECT is(pg_temp.refused('failed', 10001, true), 'RV006 | argument is not valid | limit | limit: 10001', 'too many');
SELECT is(pg_temp.refused('failed', NULL, true), 'RV006 | argument is not valid | limit | limit: null', 'as many as there are');
SELECT is(pg_temp.refused(NULL, 1, true), 'RV006 | argument is not valid | queue | No filter is given.', 'all of them, by mistake');

SELECT * FROM finish();
ROLLBACK;
