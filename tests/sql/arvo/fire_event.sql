-- arvo.fire_event(schedule, fire_at, missed_from): contract, stories.
BEGIN;
SELECT plan(14);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.fire_event(arvo.schedule,timestamptz,timestamptz)',
    'jsonb', 'plpgsql', 'stable', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

CREATE FUNCTION pg_temp.fire(p_key text, p_event jsonb, p_missed_from timestamptz DEFAULT NULL) RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
    v_schedule arvo.schedule;
BEGIN
    v_schedule.name := 'report';
    v_schedule.key := p_key;
    v_schedule.event := p_event;
    RETURN arvo.fire_event(v_schedule, '2030-01-01 09:00+02', p_missed_from);
END;
$$;
SET timezone = 'Asia/Tokyo';
SELECT is(
    pg_temp.fire('', '{"type": "com.test.report", "source": "/clock", "subject": "daily", "data": {"a": 1}}'),
    '{"id": "schedule/report//2030-01-01T07:00:00Z", "to": "com.test.report", "type": "com.test.report", "source": "/clock", "subject": "daily",
      "data": {"a": 1}, "schedulename": "report", "firetime": "2030-01-01T07:00:00Z"}',
    'the event, its id, and where it comes from; times in UTC'
);
SELECT is(
    pg_temp.fire('eu', '{"type": "com.test.report", "source": "/clock", "subject": "daily", "data": {}}', '2029-12-31 09:00+02'),
    '{"id": "schedule/report/eu/2030-01-01T07:00:00Z", "to": "com.test.report", "type": "com.test.report", "source": "/clock", "subject": "daily",
      "data": {}, "schedulename": "report", "schedulekey": "eu", "firetime": "2030-01-01T07:00:00Z",
      "missedfrom": "2029-12-31T07:00:00Z"}',
    'with its key, and since when fires were left out'
);
SELECT is(
    pg_temp.fire('', '{"subject": "day-{firetime}-{firetime}"}') ->> 'subject',
    'day-2030-01-01T07:00:00Z-2030-01-01T07:00:00Z', 'a subject with the time in it'
);
SELECT is(
    pg_temp.fire('', '{"type": "com.test.report", "source": "/clock"}') ->> 'subject',
    'schedule/report//2030-01-01T07:00:00Z', 'without one, each fire has its own'
);
SELECT is(
    pg_temp.fire('', '{"type": "arvo.orc.report", "source": "com.test.clock", "domain": "north", "redirectto": "com.test.desk",
                       "dataschema": "#/report/2.0.0"}') ->> 'subject',
    arvo.fresh_subject('schedule/report//2030-01-01T07:00:00Z', 'arvo.orc.report', 'com.test.clock', 'north', 'com.test.desk',
                       '#/report/2.0.0'),
    'of a workflow, when its source can begin one'
);
SELECT is(
    pg_temp.fire('', '{"type": "com.test.report", "source": "/clock", "to": null, "data": {"a": null}}')
        #> '{data}', '{"a": null}', 'its data is not touched'
);
SELECT is(
    pg_temp.fire('', '{"type": "com.test.report", "source": "/clock", "to": "com.test.sink", "domain": null}') - 'subject',
    '{"id": "schedule/report//2030-01-01T07:00:00Z", "to": "com.test.sink", "type": "com.test.report", "source": "/clock", "domain": null,
      "schedulename": "report", "firetime": "2030-01-01T07:00:00Z"}', 'nor is its destination, nor what is null'
);

SELECT * FROM finish();
ROLLBACK;
