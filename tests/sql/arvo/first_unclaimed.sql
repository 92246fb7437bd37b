-- arvo.first_unclaimed(head, low, high): contract, stories.
BEGIN;
SELECT plan(17);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.first_unclaimed(arvo.lease,integer,integer)',
    'SETOF arvo.log', 'sql', 'stable', false,
    'nobody',
    ARRAY[
        'search_path=pg_catalog, pg_temp',
        'enable_seqscan=off',
        'enable_bitmapscan=off',
        'enable_hashjoin=off',
        'enable_mergejoin=off',
        'jit=off'
    ]
);

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
DO $$
BEGIN
    PERFORM arvo_v1.register_queue('a');
END;
$$;

CREATE FUNCTION pg_temp.first(p_low integer DEFAULT 0, p_high integer DEFAULT 3) RETURNS text
LANGUAGE sql AS $$
    SELECT entry.event ->> 'id' FROM arvo.first_unclaimed(arvo.head_of((SELECT min(lane) FROM arvo.lane)), p_low, p_high) AS entry
$$;
SELECT is(pg_temp.first(), NULL, 'nothing there');
DO $$
BEGIN
    FOR number IN 1..4 LOOP PERFORM arvo_v1.dispatch(pg_temp.event(number::text, 'a')); END LOOP;
END;
$$;
COMMIT AND CHAIN;

SELECT is(pg_temp.first(), '1', 'the first of all');
SELECT count(*) AS claimed FROM arvo_v1.claim('{a}', 2) \gset
COMMIT AND CHAIN;

SELECT is(pg_temp.first(), '3', 'the first behind the position, inside a window');
SELECT is(pg_temp.first(1, 3), NULL, 'in other slots there is none');
SELECT is(pg_temp.first(0, 0), '3', 'in this one');
SELECT count(*) AS claimed FROM arvo_v1.claim('{a}', 9) \gset
COMMIT AND CHAIN;

SELECT is(pg_temp.first(), NULL, 'a window that was read to its end');
INSERT INTO arvo.generation (slot, opened_at) VALUES (1, arvo.clock());
DO $$
BEGIN
    PERFORM arvo_v1.dispatch(pg_temp.event('5', 'a'));
END;
$$;
COMMIT AND CHAIN;

SELECT is(pg_temp.first(), '5', 'what came since');
SELECT is(pg_temp.first(0, 0), NULL, 'in another slot');
SELECT is(pg_temp.first(1, 1), '5', 'by its slot');
-- as if transaction 5 had been open when the window was taken, and is appended with an earlier time
SELECT xid AS late FROM arvo.log WHERE event ->> 'id' = '5' \gset
DO $$
BEGIN
    PERFORM arvo_v1.dispatch(pg_temp.event('6', 'a'));
END;
$$;
COMMIT AND CHAIN;

SELECT count(*) AS claimed FROM arvo_v1.claim('{a}', 9) \gset
INSERT INTO arvo.lease
SELECT (head).slot, (head).lane, (head).number + 1, 0, NULL, (head).leased_at, (head).expires_at, false, '{}', NULL, NULL,
       (head).previous_snapshot, format('%s:%s:%s', :'late', pg_snapshot_xmax((head).snapshot), :'late')::pg_snapshot,
       (head).last_xid, (head).last_delivery, true, (head).open_from, (head).sweep_at, NULL, NULL, NULL, (head).ready_from
FROM (SELECT arvo.head_of(min(lane)) AS head FROM arvo.lane) AS newest;
SELECT is(pg_temp.first(), '5', 'a transaction that was open when the snapshot was taken');

SELECT * FROM finish();
ROLLBACK;
