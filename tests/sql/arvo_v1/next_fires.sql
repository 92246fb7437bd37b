-- arvo_v1.next_fires(cron, time_zone, count, from, gap, overlap): contract, stories, refusals.
BEGIN;
SELECT plan(22);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo_v1.next_fires(text,text,integer,timestamptz,text,text)',
    'SETOF arvo_v1.fire', 'plpgsql', 'volatile', true,
    'arvo_client, arvo_monitor, arvo_operator, arvo_worker'
);

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
SELECT results_eq(
    $$ SELECT * FROM arvo_v1.next_fires('0 9 * * *', p_count => 2) $$,
    $$ VALUES (timestamptz '2030-01-01 09:00Z', '2030-01-01T09:00:00', interval '0'),
              ('2030-01-02 09:00Z', '2030-01-02T09:00:00', '0') $$,
    'from now on, in UTC'
);
SELECT is((SELECT count(*) FROM arvo_v1.next_fires('0 9 * * *')), 10::bigint, 'ten of them');
SELECT results_eq(
    $$ SELECT * FROM arvo_v1.next_fires('30 2 * * *', 'Europe/Berlin', 3, '2025-03-29 00:00Z') $$,
    $$ VALUES (timestamptz '2025-03-29 01:30Z', '2025-03-29T02:30:00', interval '1 hour'),
              ('2025-03-30 01:00Z', '2025-03-30T03:00:00', '2 hours'),
              ('2025-03-31 00:30Z', '2025-03-31T02:30:00', '2 hours') $$,
    'over the night when clocks are put forward, with what they show'
);
SELECT results_eq(
    $$ SELECT local_time FROM arvo_v1.next_fires('30 2 * * *', 'Europe/Berlin', 2, '2025-03-29 00:00Z', 'skip') $$,
    $$ VALUES ('2025-03-29T02:30:00'), ('2025-03-31T02:30:00') $$, 'under another policy'
);
SELECT results_eq(
    $$ SELECT utc_offset FROM arvo_v1.next_fires('30 2 * * *', 'Europe/Berlin', 3, '2025-10-25 12:00Z', p_overlap => 'both') $$,
    $$ VALUES (interval '2 hours'), ('1 hour'), ('1 hour') $$, 'and when they are put back'
);
SELECT results_eq(
    $$ SELECT local_time FROM arvo_v1.next_fires('0 * * * *', 'Europe/Berlin', 3, '2025-10-25 23:30Z') $$,
    $$ VALUES ('2025-10-26T02:00:00'), ('2025-10-26T02:00:00'), ('2025-10-26T03:00:00') $$, 'every hour is every hour'
);
SELECT is_empty($$ SELECT * FROM arvo_v1.next_fires('0 0 30 2 *') $$, 'a day that never comes');
SELECT is_empty($$ SELECT * FROM arvo_v1.next_fires('0 9 * * *', p_count => 0) $$, 'none, when none are asked for');

-- refusals --------------------------------------------------------------------------------------

SELECT is(
    pg_temp.raised($$ SELECT * FROM arvo_v1.next_fires('0 25 * * *') $$),
    'RV006 | argument is not valid | cron | hour: "25"', 'the cron text'
);
SELECT is(
    pg_temp.raised($$ SELECT * FROM arvo_v1.next_fires(NULL) $$), 'RV006 | argument is not valid | cron | cron: null', 'none'
);
SELECT is(
    pg_temp.raised($$ SELECT * FROM arvo_v1.next_fires('@daily', 'Berlin') $$),
    'RV006 | argument is not valid | time_zone | time_zone: "Berlin"', 'the time zone'
);
SELECT is(
    pg_temp.raised($$ SELECT * FROM arvo_v1.next_fires('@daily', p_count => 10001) $$),
    'RV006 | argument is not valid | count | count: 10001', 'too many'
);
SELECT is(
    pg_temp.raised($$ SELECT * FROM arvo_v1.next_fires('@daily', p_from => 'infinity') $$),
    'RV006 | argument is not valid | from | from: infinity', 'the end of time'
);
SELECT is(
    pg_temp.raised($$ SELECT * FROM arvo_v1.next_fires('@daily', p_gap => 'x') $$),
    'RV006 | argument is not valid | gap | gap: "x"', 'gap'
);
SELECT is(
    pg_temp.raised($$ SELECT * FROM arvo_v1.next_fires('@daily', p_overlap => 'x') $$),
    'RV006 | argument is not valid | overlap | overlap: "x"', 'overlap'
);

SELECT * FROM finish();
ROLLBACK;
