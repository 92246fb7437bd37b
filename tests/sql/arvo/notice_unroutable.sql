-- arvo.notice_unroutable(accepted): contract, stories.
BEGIN;
SELECT plan(15);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.notice_unroutable(arvo_v1.dispatched[])',
    'integer', 'plpgsql', 'volatile', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
DO $$ BEGIN PERFORM arvo_v1.register_queue('com.test.sink'); END; $$;
SELECT outcome AS early FROM arvo_v1.dispatch(pg_temp.event('0', 'com.test.nobody')) \gset
SELECT is(:'early'::text, 'unroutable', 'before anybody listens');
SELECT is(
    (SELECT count(*) FROM arvo.log WHERE lane > 0), 1::bigint, 'there is only the delivery, no notice'
);
SELECT is(
    arvo.notice_unroutable(ARRAY[(1, '0', 1, 'com.test.nobody', 'unroutable')::arvo_v1.dispatched]),
    0, 'no notice is written'
);

DO $$ BEGIN PERFORM arvo_v1.register_queue('arvo.unroutable'); END; $$;
SELECT count(*) FROM arvo_v1.dispatch_many(
    jsonb_build_array(
        pg_temp.event('1', 'com.test.nobody'), pg_temp.event('2', 'com.test.sink'),
        pg_temp.event('3', 'com.test.other'),
        pg_temp.event('4', 'com.test.nobody', '{"domain": "human.x"}')
    )
) \gset
SELECT results_eq(
    $$ SELECT origin.event ->> 'id', notice.attempt, notice.event, notice.cause ->> 'outcome',
              notice.cause ->> 'queue', (notice.cause ->> 'delivery')::bigint = origin.delivery
       FROM arvo.log AS notice
       JOIN arvo.lane ON lane.lane = notice.lane
       JOIN arvo.queue ON queue.queue = lane.queue AND queue.name = 'arvo.unroutable'
       JOIN arvo.log AS origin ON (origin.lane, origin.xid, origin.delivery)
           = (notice.origin_lane, notice.origin_xid, notice.origin_delivery)
       ORDER BY notice.delivery $$,
    $$ VALUES ('1', 1, NULL::jsonb, 'unroutable', 'com.test.nobody', true),
              ('3', 1, NULL, 'unroutable', 'com.test.other', true) $$,
    'each unroutable event of a call is noticed, in order, without its body; others are not'
);
SELECT is(
    (SELECT count(*) FROM arvo.log WHERE event IS NOT NULL AND lane > 0), 5::bigint,
    'the events themselves wait where they are addressed to'
);
SELECT outcome AS deferred
FROM arvo_v1.dispatch(pg_temp.event('5', 'com.test.nobody'), p_start_after => '1 hour') \gset
SELECT is(
    (SELECT count(*) FROM arvo.log WHERE lane > 0), 7::bigint, 'a deferred event is not noticed yet'
);
COMMIT AND CHAIN;
SET arvo.frozen_clock = '2030-01-01T01:00:00Z';
DO $$ BEGIN PERFORM arvo.promote(); END; $$;
SELECT is(
    (SELECT array_agg(origin.event ->> 'id')
     FROM arvo.log AS notice JOIN arvo.log AS origin
         ON (origin.lane, origin.xid, origin.delivery) = (notice.origin_lane, notice.origin_xid, notice.origin_delivery)
     WHERE notice.at = '2030-01-01T01:00:00Z'),
    '{5}', 'but when it becomes due'
);
SELECT is(
    arvo.notice_unroutable(NULL), 0, 'nothing accepted, nothing noticed'
);

SELECT * FROM finish();
ROLLBACK;
