-- arvo.sweep_notes(limit): contract, stories.
BEGIN;
SELECT plan(17);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.sweep_notes(integer)',
    'integer', 'plpgsql', 'volatile', false,
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

INSERT INTO arvo.omission (at, queue, outcome, event_id, subject_key, event_key, event) VALUES (arvo.clock(), 'a', 'throttled', '1', 0, 0, '{}');
INSERT INTO arvo.operation (at, by, verb, details, touched) VALUES (arvo.clock(), 'me', 'redrive', '{}', 1);
INSERT INTO arvo.registration (queue, worker, options, at) VALUES ('a', 'w', '{}', arvo.clock());
INSERT INTO arvo.dead (delivery, queue, event_id, subject_key, event_key, event, attempts, reason, died_at, resolution, resolved_at)
VALUES (1, 'a', '1', 0, 0, '{}', 1, 'failed', arvo.clock(), 'consumed', arvo.clock()), (2, 'a', '2', 0, 0, '{}', 1, 'failed', arvo.clock(), NULL, NULL);
CREATE FUNCTION pg_temp.left() RETURNS text
LANGUAGE sql AS $$
    SELECT concat_ws(' ', (SELECT count(*) FROM arvo.omission), (SELECT count(*) FROM arvo.dead),
                     (SELECT count(*) FROM arvo.operation), (SELECT count(*) FROM arvo.registration))
$$;
SET arvo.frozen_clock = '2030-01-07T23:59:59.999999Z';

SELECT is(arvo.sweep_notes(9), 0, 'one microsecond before delete_after');
SELECT is(arvo.sweep_notes(0), 0, 'no more than asked for');
SET arvo.frozen_clock = '2030-01-08T00:00:00Z';

SELECT is(arvo.sweep_notes(9) || ': ' || pg_temp.left(), '2: 0 1 1 1', 'omissions and resolved dead letters');
SELECT is((SELECT delivery FROM arvo.dead), 2::bigint, 'an open one stays');
SET arvo.frozen_clock = '2030-01-30T23:59:59.999999Z';

SELECT is(arvo.sweep_notes(9), 0, 'one microsecond before thirty days');
SET arvo.frozen_clock = '2030-01-31T00:00:00Z';

SELECT is(arvo.sweep_notes(9) || ': ' || pg_temp.left(), '1: 0 1 1 0', 'registrations');
SET arvo.frozen_clock = '2030-03-31T23:59:59.999999Z';
SELECT is(arvo.sweep_notes(9), 0, 'one microsecond before ninety days');
SET arvo.frozen_clock = '2030-04-01T00:00:00Z';
SELECT is(arvo.sweep_notes(9) || ': ' || pg_temp.left(), '1: 0 1 0 0', 'the audit');
INSERT INTO arvo.generation (slot, opened_at) SELECT number % 4, arvo.clock() FROM generate_series(1, 9) AS number;
UPDATE arvo.generation SET emptied_at = arvo.clock() WHERE number = 1;
SELECT is(arvo.sweep_notes(9), 1, 'an emptied generation behind eight others');
SELECT is((SELECT min(number) FROM arvo.generation), 2::bigint, 'not one that was not emptied');

SELECT * FROM finish();
ROLLBACK;
