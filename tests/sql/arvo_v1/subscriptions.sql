-- arvo_v1.subscriptions(queue, type): contract, stories.
BEGIN;
SELECT plan(10);
\ir ../given.psql

SELECT * FROM pg_temp.contract(
    'arvo_v1.subscriptions(text, text)', 'SETOF arvo_v1.subscription', 'sql', 'stable', true,
    'arvo_monitor, arvo_operator, arvo_worker'
);

SET arvo.frozen_clock = '2030-01-01 00:00:00+00';
SELECT arvo_v1.subscribe('r', 'com.a.b');
SELECT arvo_v1.subscribe('q', '**');
SELECT results_eq(
    'SELECT * FROM arvo_v1.subscriptions()',
    $$ VALUES ('q', '**', '2030-01-01 00:00:00+00'::timestamptz), ('r', 'com.a.b', '2030-01-01 00:00:00+00') $$, 'all, by queue'
);
SELECT results_eq($$ SELECT queue FROM arvo_v1.subscriptions('r') $$, $$ VALUES ('r') $$, 'those of a queue');
SELECT results_eq($$ SELECT queue FROM arvo_v1.subscriptions(p_type => 'com.a.c') $$, $$ VALUES ('q') $$, 'those that hear a type');

SELECT * FROM finish();
ROLLBACK;
