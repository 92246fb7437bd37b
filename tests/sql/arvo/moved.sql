-- arvo.moved(head, reading): contract, stories.
BEGIN;
SELECT plan(9);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.moved(arvo.lease,arvo.reading)',
    'arvo.lease', 'plpgsql', 'immutable', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

CREATE FUNCTION pg_temp.head() RETURNS arvo.lease
LANGUAGE sql AS $$
    SELECT jsonb_populate_record(NULL::arvo.lease, '{"lane": 3, "number": 7, "token": 9, "previous_snapshot": "1:1:", "snapshot": "5:9:6",
        "last_xid": "8", "last_delivery": 20, "exhausted": false, "open_from": 4, "ready_from": 11}')
$$;
CREATE FUNCTION pg_temp.reading(p_batch arvo.log[]) RETURNS arvo.reading
LANGUAGE sql AS $$ SELECT (p_batch, '5:9:6', '10:12:', '11', 30, true)::arvo.reading $$;
SELECT is(
    to_jsonb(arvo.moved(pg_temp.head(), pg_temp.reading(ARRAY[NULL::arvo.log]))),
    to_jsonb(pg_temp.head())
        || '{"previous_snapshot": "5:9:6", "snapshot": "10:12:", "last_xid": "11", "last_delivery": 30, "exhausted": true}',
    'window and position are those of the reading; the rest stays'
);
SELECT is(arvo.moved(pg_temp.head(), pg_temp.reading('{}'))::text, pg_temp.head()::text, 'an empty reading moves nothing');

SELECT * FROM finish();
ROLLBACK;
