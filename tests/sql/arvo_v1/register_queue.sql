-- arvo_v1.register_queue(queue, options…): contract, stories, refusals.
BEGIN;
SELECT plan(76);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo_v1.register_queue(text,boolean,integer,integer,interval,boolean,interval,interval,text,integer,text,'
    'text,text,interval,interval,interval,interval,interval,boolean,integer,integer,integer,interval,integer,interval,'
    'integer,jsonb,text[],text)',
    'arvo_v1.queue', 'plpgsql', 'volatile', true,
    'arvo_operator, arvo_worker'
);

-- stories ---------------------------------------------------------------------------------------

SET LOCAL arvo.frozen_clock = '2030-01-01T00:00:00Z';
SELECT row_eq(
    $$ SELECT * FROM arvo_v1.register_queue('com.test.plain') $$,
    ROW('com.test.plain', 'created', true, false, 0, 2, interval '0', false, NULL, interval '15 minutes', NULL, 10000,
        'standard', NULL, 'block', interval '0', interval '14 days', interval '7 days', interval '7 days', NULL, false, NULL, NULL,
        NULL, NULL, NULL, NULL, 20, '{}', NULL)::arvo_v1.queue,
    'a new queue has the defaults'
);
SELECT row_eq(
    $$ SELECT * FROM arvo_v1.register_queue('com.test.sink', true, 3, 5, '10 seconds', true, '300 seconds', '60 seconds',
                                            'com.test.dead', 500, 'standard') $$,
    ROW('com.test.sink', 'created', true, true, 3, 5, interval '10 s', true, interval '300 s', interval '60 s', 'com.test.dead',
        500, 'standard', NULL, 'block', interval '0', interval '14 days', interval '7 days', interval '7 days', NULL, false, NULL, NULL,
        NULL, NULL, NULL, NULL, 20, '{}', NULL)::arvo_v1.queue,
    'or the options that are given'
);
SELECT results_eq(
    'SELECT name, registered, created_at, changed_at FROM arvo.queue ORDER BY name',
    $$ VALUES ('com.test.dead', false, timestamptz '2030-01-01 00:00:00Z', timestamptz '2030-01-01 00:00:00Z'),
              ('com.test.plain', true, '2030-01-01 00:00:00Z', '2030-01-01 00:00:00Z'),
              ('com.test.sink', true, '2030-01-01 00:00:00Z', '2030-01-01 00:00:00Z') $$,
    'a dead-letter queue that is not there is made; a registration makes no consumer of it'
);
SELECT results_eq(
    $$ SELECT queue.name, lane.priority FROM arvo.lane INNER JOIN arvo.queue USING (queue) ORDER BY 1, 2 $$,
    $$ VALUES ('com.test.dead', 0), ('com.test.plain', 0), ('com.test.sink', 0), ('com.test.sink', 3) $$,
    'each queue has the lane of its priority'
);

SET LOCAL arvo.frozen_clock = '2030-01-01T01:00:00Z';
SELECT is(
    (SELECT change FROM arvo_v1.register_queue('com.test.sink')), 'unchanged', 'what is not named stays as it is'
);
SELECT is(
    (SELECT change FROM arvo_v1.register_queue('com.test.sink', true, 3, 5, '10 seconds', true, '300 seconds', '60 seconds',
                                               'com.test.dead', 500)),
    'unchanged', 'what is named again, too'
);
SELECT is(
    (SELECT changed_at FROM arvo.queue WHERE name = 'com.test.sink'), timestamptz '2030-01-01 00:00:00Z',
    'then the time of the last change stays'
);
SELECT is(
    (SELECT change FROM arvo_v1.register_queue('com.test.sink', p_retry_limit => 6, p_priority => 4, p_stateful => false)),
    'priority, retry_limit, stateful', 'a change is named by its options'
);
SELECT results_eq(
    $$ SELECT created_at, changed_at, priority, retry_limit, stateful, retry_delay FROM arvo.queue WHERE name = 'com.test.sink' $$,
    $$ VALUES (timestamptz '2030-01-01 00:00:00Z', timestamptz '2030-01-01 01:00:00Z', 4, 6, false, interval '10 s') $$,
    'and is stored with its time; the others stay'
);
SELECT is(
    (SELECT count(*) FROM arvo.lane INNER JOIN arvo.queue USING (queue) WHERE name = 'com.test.sink'), 3::bigint,
    'a new priority makes its lane'
);
SELECT arvo_v1.dispatch(pg_temp.event('1', 'com.test.early')) \gset
SELECT is(
    (SELECT change FROM arvo_v1.register_queue('com.test.early')), 'registered',
    'of a queue in which events wait already, the registration is the change'
);
SELECT is(
    (SELECT change FROM arvo_v1.register_queue('com.test.dead', p_retry_limit => 7)), 'registered, retry_limit',
    'with others, if there are any'
);
SELECT is(
    (SELECT queue FROM arvo_v1.register_queue('arvo.domain.human.review')), 'arvo.domain.human.review',
    'a domain''s queue may have a handler'
);
SELECT is((SELECT change FROM arvo_v1.register_queue(repeat('q', 512))), 'created', '512 characters make a name');
SELECT is(
    (SELECT change FROM arvo_v1.register_queue('com.test.edge', p_retry_limit => 0, p_retry_delay => '0', p_retry_delay_max => '0',
                                               p_expire_in => '1 second', p_warning_queue_size => 1)),
    'created', 'the least of each'
);
SELECT is(
    (SELECT change FROM arvo_v1.register_queue('com.test.edge', p_expire_in => '1 day', p_retry_delay => '3650 days',
                                               p_retry_delay_max => '3650 days')),
    'expire_in, retry_delay, retry_delay_max', 'the most'
);

-- stories: the whole of the options

SELECT is(
    (SELECT concat_ws(' ', change, policy, stateful) FROM arvo_v1.register_queue('com.test.flow', p_stateful => true)), 'created ordered t',
    'a stateful queue is ordered from its first registration'
);
SELECT is(
    (SELECT concat_ws(' ', change, policy) FROM arvo_v1.register_queue('com.test.flow2', p_stateful => true, p_policy => 'standard')),
    'created standard', 'unless a policy is named'
);
SELECT is(
    (SELECT concat_ws(' ', change, policy) FROM arvo_v1.register_queue('com.test.plain', p_stateful => true)), 'stateful standard',
    'one that was registered before stays what it is'
);
SELECT is(
    (SELECT change FROM arvo_v1.register_queue('com.test.wide', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'exclusive', 'tenant', NULL,
        '1 s', '2 days', '3 days', '4 days', '5 s', true, 6, 7, 8, '9 s', 10, '11 s', 12, '{"E": "dead"}', '{}', 'worker 1')),
    'created', 'every option'
);
SELECT results_eq(
    $$ SELECT policy, key_from, start_after, retention, delete_after, deduplicate_for, singleton_for, singleton_next_slot, max_active,
              key_max_active, rate_limit, rate_period, key_rate_limit, key_rate_period, max_redrives, error_rules
       FROM arvo_v1.register_queue('com.test.wide') $$,
    $$ VALUES ('exclusive', 'tenant', interval '1 s', interval '2 days', interval '3 days', interval '4 days', interval '5 s', true, 6, 7, 8,
               interval '9 s', 10, interval '11 s', 12, '{"E": "dead"}'::jsonb) $$, 'is stored under its own name'
);
SELECT is(
    (SELECT change FROM arvo_v1.register_queue('com.test.wide', p_max_redrives => 13, p_reset => '{max_active,rate_limit,rate_period,policy}')),
    'max_active, max_redrives, policy, rate_limit, rate_period', 'some are changed, some go back to their defaults'
);
SELECT is(
    (SELECT concat_ws(' ', policy, max_redrives, coalesce(max_active, 0), coalesce(rate_limit, 0)) FROM arvo.queue WHERE name = 'com.test.wide'),
    'standard 13 0 0', 'all of them in one call'
);
SELECT is((SELECT change FROM arvo_v1.register_queue('com.test.wide', p_reset => '{max_active}')), 'unchanged', 'or not at all');
DO $$ BEGIN
    PERFORM arvo_v1.register_queue('com.test.wide', p_worker => 'worker 1', p_retry_limit => 3),
            arvo_v1.register_queue('com.test.wide', p_worker => 'worker 2', p_retry_limit => 4);
END; $$;
SELECT results_eq(
    'SELECT queue, worker, options, at FROM arvo.registration ORDER BY worker',
    $$ VALUES ('com.test.wide', 'worker 1', '{"retry_limit": 3}'::jsonb, timestamptz '2030-01-01 01:00:00Z'),
              ('com.test.wide', 'worker 2', '{"retry_limit": 4}', '2030-01-01 01:00:00Z') $$,
    'what each process asked for last is kept'
);

-- refusals --------------------------------------------------------------------------------------

SELECT is(
    pg_temp.raised(format('SELECT arvo_v1.register_queue(%s)', given.arguments)),
    format('RV002 | option is not valid | %s | option %s of queue %s', given.option, given.option, given.queue),
    left(given.arguments, 100)
)
FROM (
    VALUES
    ('NULL', 'queue', ''),
    ($$ '' $$, 'queue', '""'),
    ($$ 'a b' $$, 'queue', '"a b"'),
    ($$ 'a''b' $$, 'queue', '"a''b"'),
    ($$ 'a*' $$, 'queue', '"a*"'),
    ($$ E'a\nFORGED' $$, 'queue', '"a\nFORGED"'),
    ($$ repeat('q', 513) $$, 'queue', '"' || repeat('q', 79)),
    ($$ 'arvo.domain.' $$, 'queue', '"arvo.domain."'),
    ($$ 'arvo.domain.Human' $$, 'queue', '"arvo.domain.Human"'),
    ($$ 'a', p_retry_limit => -1 $$, 'retry_limit', '"a"'),
    ($$ 'a', p_retry_delay => '-1 microsecond' $$, 'retry_delay', '"a"'),
    ($$ 'a', p_retry_delay => '3650 days 1 microsecond' $$, 'retry_delay', '"a"'),
    ($$ 'a', p_retry_delay_max => '-1 microsecond' $$, 'retry_delay_max', '"a"'),
    ($$ 'a', p_retry_delay_max => '3650 days 1 microsecond' $$, 'retry_delay_max', '"a"'),
    ($$ 'a', p_expire_in => '0.999999 seconds' $$, 'expire_in', '"a"'),
    ($$ 'a', p_expire_in => '1 day 1 microsecond' $$, 'expire_in', '"a"'),
    ($$ 'a', p_dead_letter => '' $$, 'dead_letter', '"a"'),
    ($$ 'a', p_dead_letter => 'b c' $$, 'dead_letter', '"a"'),
    ($$ 'a', p_dead_letter => 'a' $$, 'dead_letter', '"a"'),
    ($$ 'a', p_warning_queue_size => 0 $$, 'warning_queue_size', '"a"'),
    ($$ 'a', p_retry_limit => -1, p_warning_queue_size => 0 $$, 'retry_limit', '"a"'),
    ($$ 'a', p_policy => 'fifo' $$, 'policy', '"a"'),
    ($$ 'a', p_key_from => 'data' $$, 'key_from', '"a"'),
    ($$ 'a', p_on_failure => 'step_aside' $$, 'on_failure', '"a"'),
    ($$ 'a', p_start_after => '-1 s' $$, 'start_after', '"a"'),
    ($$ 'a', p_retention => '0' $$, 'retention', '"a"'),
    ($$ 'a', p_delete_after => '0' $$, 'delete_after', '"a"'),
    ($$ 'a', p_deduplicate_for => '-1 s' $$, 'deduplicate_for', '"a"'),
    ($$ 'a', p_singleton_for => '0' $$, 'singleton_for', '"a"'),
    ($$ 'a', p_singleton_next_slot => true $$, 'singleton_next_slot', '"a"'),
    ($$ 'a', p_max_active => 0 $$, 'max_active', '"a"'),
    ($$ 'a', p_policy => 'singleton', p_key_max_active => 1 $$, 'key_max_active', '"a"'),
    ($$ 'a', p_rate_limit => 0, p_rate_period => '1 s' $$, 'rate_limit', '"a"'),
    ($$ 'a', p_rate_limit => 1 $$, 'rate_period', '"a"'),
    ($$ 'a', p_key_rate_limit => 0, p_key_rate_period => '1 s' $$, 'key_rate_limit', '"a"'),
    ($$ 'a', p_key_rate_period => '1 s' $$, 'key_rate_period', '"a"'),
    ($$ 'a', p_max_redrives => -1 $$, 'max_redrives', '"a"'),
    ($$ 'a', p_error_rules => '{"E": 1}' $$, 'error_rules', '"a"'),
    ($$ 'a', p_error_rules => 'null' $$, 'error_rules', '"a"'),
    ($$ 'com.test.flow', p_priority => 9 $$, 'priority', '"com.test.flow"')
) AS given (arguments, option, queue);
SELECT is(
    pg_temp.raised($$ SELECT arvo_v1.register_queue('a', p_reset => '{colour}') $$), 'RV002 | option is not valid | reset | reset: "colour"',
    'an option to reset that there is not'
);

SELECT is_empty($$ SELECT FROM arvo.queue WHERE name IN ('a', '', 'b c') $$, 'nothing is made of them');

-- the audit: not of what workers do whenever they start, but of what operators do who are workers, too
CREATE ROLE arvo_test_worker IN ROLE arvo_worker;
CREATE ROLE arvo_test_both IN ROLE arvo_operator, arvo_worker;
DELETE FROM arvo.operation;
SELECT is(
    (
        SELECT string_agg(pg_temp.as_role(who.role, format('SELECT change FROM arvo_v1.register_queue(%L, p_retry_limit => %s)', 'com.test.audit', who.most)), ' ')
        FROM (VALUES ('arvo_test_worker', 1), ('arvo_test_both', 2), ('arvo_test_both', 2)) AS who (role, most)
    ),
    'created retry_limit unchanged', 'a queue is made, and changed'
);
SELECT results_eq(
    $$ SELECT role, queue, details ->> 'change' FROM arvo.operation $$, $$ VALUES ('arvo_test_both', 'com.test.audit', 'retry_limit') $$,
    'who is both has changed it, says the audit'
);

SELECT * FROM finish();
ROLLBACK;
