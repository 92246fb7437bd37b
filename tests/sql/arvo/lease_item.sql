-- arvo.lease_item(lease, ordinal, verdict): contract, stories.
BEGIN;
SELECT plan(10);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.lease_item(arvo.lease,integer,text)',
    'arvo.result', 'plpgsql', 'immutable', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

-- Deliveries in hand, under the names of their events.
CREATE TEMPORARY TABLE held (id text PRIMARY KEY, lease bigint, delivery bigint, attempt integer, at timestamptz DEFAULT arvo.clock());
CREATE FUNCTION pg_temp.send(p_queue text, VARIADIC p_ids text[]) RETURNS void
LANGUAGE sql AS $$
    SELECT arvo_v1.dispatch_many((
        SELECT jsonb_agg(pg_temp.event(id, p_queue, jsonb_build_object('subject', left(id, 1), 'tenant', left(id, 1))) ORDER BY ordinal)
        FROM unnest(p_ids) WITH ORDINALITY AS given (id, ordinal)
    ))
$$;
-- Claims, and remembers: ids in order, with the attempt where it is not the first.
CREATE FUNCTION pg_temp.take(p_queue text, p_limit integer DEFAULT 100) RETURNS text
LANGUAGE sql AS $$
    WITH claimed AS MATERIALIZED (
        SELECT given.*, event ->> 'id' AS id FROM arvo_v1.claim(ARRAY[p_queue], p_limit, 'w1') WITH ORDINALITY AS given
    ), kept AS (
        INSERT INTO held SELECT id, lease, delivery, attempt, arvo.clock() FROM claimed
        ON CONFLICT (id) DO UPDATE SET lease = excluded.lease, delivery = excluded.delivery, attempt = excluded.attempt, at = excluded.at
    )
    SELECT coalesce(
        string_agg(id || CASE WHEN attempt > 1 THEN '/' || attempt ELSE '' END, ' ' ORDER BY ordinality), 'nothing'
    )
    FROM claimed
$$;
-- Settles 'id outcome [seconds]' …: what was answered, with the code of a refusal.
CREATE FUNCTION pg_temp.settle(VARIADIC p_items text[]) RETURNS text
LANGUAGE sql AS $$
    SELECT string_agg(concat_ws(' ', held.id, verdict.outcome, verdict.code), ', ' ORDER BY verdict.ordinal)
    FROM arvo_v1.settle((
        SELECT jsonb_agg(
            pg_temp.result(held.lease, held.delivery, given.words[2], jsonb_strip_nulls(jsonb_build_object('after', given.words[3]::integer)))
            ORDER BY given.ordinal
        )
        FROM (SELECT string_to_array(item, ' ') AS words, ordinal FROM unnest(p_items) WITH ORDINALITY AS i (item, ordinal)) AS given
        INNER JOIN held ON held.id = given.words[1]
    )) AS verdict
    INNER JOIN held ON held.lease = verdict.lease AND held.delivery = verdict.delivery
$$;

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
DO $$
BEGIN
    PERFORM arvo_v1.register_queue('a');
END;
$$;
COMMIT AND CHAIN;
SELECT is(jsonb_strip_nulls(to_jsonb(arvo.lease_item(jsonb_populate_record(NULL::arvo.lease, '{"token": 9, "lane": 3, "deliveries": [20, 21], "low_xid": "5", "high_xid": "7", "xids": ["5", "7"], "keys": [50, 51], "places": [60, 61]}'), 2, 'dead'))), '{"ordinal": 2, "lease": 9, "delivery": 21, "lane": 3, "low_xid": "5", "high_xid": "7", "xid": "7", "key": 51, "place": 61, "verdict": "dead"}', 'all that the ledger knows of it');
SELECT is(jsonb_strip_nulls(to_jsonb(arvo.lease_item(jsonb_populate_record(NULL::arvo.lease, '{"token": 9, "lane": 3, "deliveries": [20, 21], "low_xid": "5", "high_xid": "5", "xids": ["5"]}'), 2, NULL))), '{"ordinal": 2, "lease": 9, "delivery": 21, "lane": 3, "low_xid": "5", "high_xid": "5", "xid": "5"}', 'one transaction speaks for all; without keys there are none');
SELECT is((arvo.lease_item(jsonb_populate_record(NULL::arvo.lease, '{"deliveries": [20], "low_xid": "5", "high_xid": "7"}'), 1, NULL)).xid, NULL, 'a row from before that was written down knows the range only');

SELECT * FROM finish();
ROLLBACK;
