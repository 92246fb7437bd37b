-- ---------------------------------------------------------------------------------------------
-- schedule: events that are dispatched by the clock
-- ---------------------------------------------------------------------------------------------

CREATE TYPE arvo.cron AS (
    seconds bit varying,
    minutes bit varying,
    hours bit varying,
    days bit varying,
    months bit varying,
    weekdays bit varying,
    either_day boolean
);
COMMENT ON TYPE arvo.cron IS 'A cron text, read: one bit per value that a field may have.';
COMMENT ON COLUMN arvo.cron.seconds IS 'Seconds 0 to 59: the first bit is 0.';
COMMENT ON COLUMN arvo.cron.minutes IS 'Minutes 0 to 59: the first bit is 0.';
COMMENT ON COLUMN arvo.cron.hours IS 'Hours 0 to 23: the first bit is 0.';
COMMENT ON COLUMN arvo.cron.days IS 'Days of the month 1 to 31: the first bit is 1.';
COMMENT ON COLUMN arvo.cron.months IS 'Months 1 to 12: the first bit is 1.';
COMMENT ON COLUMN arvo.cron.weekdays IS 'Days of the week 0 to 6: the first bit is Sunday.';
COMMENT ON COLUMN arvo.cron.either_day IS
'Whether the day of the month or the day of the week is enough (both are restricted), or both must fit.';

CREATE TABLE arvo.schedule (
    schedule integer GENERATED ALWAYS AS IDENTITY,
    name text NOT NULL,
    key text NOT NULL,
    cron text NOT NULL,
    fields arvo.cron NOT NULL,
    time_zone text NOT NULL,
    event jsonb NOT NULL,
    options jsonb,
    missed text NOT NULL,
    missed_limit integer NOT NULL,
    grace interval NOT NULL,
    gap text NOT NULL,
    overlap text NOT NULL,
    paused_at timestamptz,
    paused_by text,
    next_at timestamptz,
    last_at timestamptz,
    last_delivery bigint,
    last_outcome text,
    fires bigint NOT NULL DEFAULT 0,
    missed_from timestamptz,
    missed_to timestamptz,
    error jsonb,
    error_at timestamptz,
    failures bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL,
    created_by text NOT NULL,
    changed_at timestamptz NOT NULL,
    changed_by text NOT NULL,
    CONSTRAINT schedule_schedule_pkey PRIMARY KEY (schedule),
    CONSTRAINT schedule_name_key_key UNIQUE (name, key),
    CONSTRAINT schedule_missed_check CHECK (missed IN ('skip', 'one', 'all')),
    CONSTRAINT schedule_missed_limit_check CHECK (missed_limit BETWEEN 1 AND 1000),
    CONSTRAINT schedule_grace_check
    CHECK (grace BETWEEN interval '1 second' AND interval '1 day'),
    CONSTRAINT schedule_gap_check CHECK (gap IN ('skip', 'shift')),
    CONSTRAINT schedule_overlap_check CHECK (overlap IN ('first', 'second', 'both')),
    CONSTRAINT schedule_paused_at_check CHECK (paused_at IS NULL OR next_at IS NULL),
    -- The search for the next fire trusts these lengths.
    CONSTRAINT schedule_fields_check CHECK (
        length((fields).seconds) = 60
        AND length((fields).minutes) = 60
        AND length((fields).hours) = 24
        AND length((fields).days) = 31
        AND length((fields).months) = 12
        AND length((fields).weekdays) = 7
        AND (fields).either_day IS NOT NULL
    )
);
COMMENT ON TABLE arvo.schedule IS
'What is dispatched by the clock. A fire is dispatched and next_at moved past it in one transaction, under the lock of the row: no fire happens twice.';
COMMENT ON COLUMN arvo.schedule.schedule IS 'Its number.';
COMMENT ON COLUMN arvo.schedule.name IS 'Its name …';
COMMENT ON COLUMN arvo.schedule.key IS '… and key, together unique; the empty text when it has none.';
COMMENT ON COLUMN arvo.schedule.cron IS 'When it fires: the cron text as it was given.';
COMMENT ON COLUMN arvo.schedule.fields IS 'The cron text, read.';
COMMENT ON COLUMN arvo.schedule.time_zone IS 'Whose clock it goes by.';
COMMENT ON COLUMN arvo.schedule.event IS
'The event that each fire dispatches, without what differs from fire to fire.';
COMMENT ON COLUMN arvo.schedule.options IS 'Options of the dispatch; NULL: none.';
COMMENT ON COLUMN arvo.schedule.missed IS
'What happens to fires that nobody dispatched in time: skip, one stands for all, or all.';
COMMENT ON COLUMN arvo.schedule.missed_limit IS 'How many missed fires are made up for at most, with all.';
COMMENT ON COLUMN arvo.schedule.grace IS 'How late a fire may be without being a missed one.';
COMMENT ON COLUMN arvo.schedule.gap IS
'Local times that a clock change leaves out: skip, or shift them behind the change.';
COMMENT ON COLUMN arvo.schedule.overlap IS
'Local times that a clock change brings twice: first, second or both.';
COMMENT ON COLUMN arvo.schedule.paused_at IS 'Since when it is paused; NULL: it is not.';
COMMENT ON COLUMN arvo.schedule.paused_by IS 'Who paused it.';
COMMENT ON COLUMN arvo.schedule.next_at IS
'The next fire that has not been dispatched; NULL: paused, or stopped by an error.';
COMMENT ON COLUMN arvo.schedule.last_at IS 'Time of the last fire that was dispatched.';
COMMENT ON COLUMN arvo.schedule.last_delivery IS 'Its delivery.';
COMMENT ON COLUMN arvo.schedule.last_outcome IS 'Its outcome, as of a dispatch.';
COMMENT ON COLUMN arvo.schedule.fires IS 'How many fires were dispatched.';
COMMENT ON COLUMN arvo.schedule.missed_from IS
'When fires were left out last: those from this one …';
COMMENT ON COLUMN arvo.schedule.missed_to IS '… until before this one.';
COMMENT ON COLUMN arvo.schedule.error IS
'Why the last fire failed: code, message, detail, fire_at. NULL: it did not.';
COMMENT ON COLUMN arvo.schedule.error_at IS 'When that was.';
COMMENT ON COLUMN arvo.schedule.failures IS 'How many times firing failed.';
COMMENT ON COLUMN arvo.schedule.created_at IS 'When it was made.';
COMMENT ON COLUMN arvo.schedule.created_by IS 'By which login role.';
COMMENT ON COLUMN arvo.schedule.changed_at IS 'When it was changed last.';
COMMENT ON COLUMN arvo.schedule.changed_by IS 'By which login role.';
CREATE INDEX schedule_next_idx ON arvo.schedule (next_at) WHERE next_at IS NOT NULL;

CREATE TABLE arvo.fire_pass (
    number bigint GENERATED ALWAYS AS IDENTITY,
    done_to timestamptz NOT NULL,
    swept_at timestamptz NOT NULL,
    CONSTRAINT fire_pass_number_pkey PRIMARY KEY (number)
);
COMMENT ON TABLE arvo.fire_pass IS
'How far schedules have been fired; the newest row counts. Who looks for due fires begins there, and not among the dead versions of rows that have fired.';
COMMENT ON COLUMN arvo.fire_pass.number IS 'Order.';
COMMENT ON COLUMN arvo.fire_pass.done_to IS
'Nothing that was to be seen is due up to this time.';
COMMENT ON COLUMN arvo.fire_pass.swept_at IS
'When somebody looked before that time as well, for what was committed late.';
INSERT INTO arvo.fire_pass (done_to, swept_at) VALUES ('-infinity', '-infinity');

CREATE TYPE arvo_v1.schedule AS (
    name text,
    key text,
    change text,
    cron text,
    time_zone text,
    event jsonb,
    options jsonb,
    missed text,
    missed_limit integer,
    grace interval,
    gap text,
    overlap text,
    paused_at timestamptz,
    paused_by text,
    next_at timestamptz,
    last_at timestamptz,
    last_delivery bigint,
    last_outcome text,
    fires bigint,
    missed_from timestamptz,
    missed_to timestamptz,
    error jsonb,
    error_at timestamptz,
    failures bigint,
    created_at timestamptz,
    created_by text,
    changed_at timestamptz,
    changed_by text
);
COMMENT ON TYPE arvo_v1.schedule IS 'A schedule, and what a call did to it.';
COMMENT ON COLUMN arvo_v1.schedule.name IS 'As in arvo.schedule.';
COMMENT ON COLUMN arvo_v1.schedule.key IS 'As in arvo.schedule.';
COMMENT ON COLUMN arvo_v1.schedule.change IS
'created, unchanged, paused, resumed, removed, or the options that changed; NULL in a list.';
COMMENT ON COLUMN arvo_v1.schedule.cron IS 'As in arvo.schedule.';
COMMENT ON COLUMN arvo_v1.schedule.time_zone IS 'As in arvo.schedule.';
COMMENT ON COLUMN arvo_v1.schedule.event IS 'As in arvo.schedule.';
COMMENT ON COLUMN arvo_v1.schedule.options IS 'As in arvo.schedule.';
COMMENT ON COLUMN arvo_v1.schedule.missed IS 'As in arvo.schedule.';
COMMENT ON COLUMN arvo_v1.schedule.missed_limit IS 'As in arvo.schedule.';
COMMENT ON COLUMN arvo_v1.schedule.grace IS 'As in arvo.schedule.';
COMMENT ON COLUMN arvo_v1.schedule.gap IS 'As in arvo.schedule.';
COMMENT ON COLUMN arvo_v1.schedule.overlap IS 'As in arvo.schedule.';
COMMENT ON COLUMN arvo_v1.schedule.paused_at IS 'As in arvo.schedule.';
COMMENT ON COLUMN arvo_v1.schedule.paused_by IS 'As in arvo.schedule.';
COMMENT ON COLUMN arvo_v1.schedule.next_at IS 'As in arvo.schedule.';
COMMENT ON COLUMN arvo_v1.schedule.last_at IS 'As in arvo.schedule.';
COMMENT ON COLUMN arvo_v1.schedule.last_delivery IS 'As in arvo.schedule.';
COMMENT ON COLUMN arvo_v1.schedule.last_outcome IS 'As in arvo.schedule.';
COMMENT ON COLUMN arvo_v1.schedule.fires IS 'As in arvo.schedule.';
COMMENT ON COLUMN arvo_v1.schedule.missed_from IS 'As in arvo.schedule.';
COMMENT ON COLUMN arvo_v1.schedule.missed_to IS 'As in arvo.schedule.';
COMMENT ON COLUMN arvo_v1.schedule.error IS 'As in arvo.schedule.';
COMMENT ON COLUMN arvo_v1.schedule.error_at IS 'As in arvo.schedule.';
COMMENT ON COLUMN arvo_v1.schedule.failures IS 'As in arvo.schedule.';
COMMENT ON COLUMN arvo_v1.schedule.created_at IS 'As in arvo.schedule.';
COMMENT ON COLUMN arvo_v1.schedule.created_by IS 'As in arvo.schedule.';
COMMENT ON COLUMN arvo_v1.schedule.changed_at IS 'As in arvo.schedule.';
COMMENT ON COLUMN arvo_v1.schedule.changed_by IS 'As in arvo.schedule.';

CREATE TYPE arvo_v1.fire AS (
    fire_at timestamptz,
    local_time text,
    utc_offset interval
);
COMMENT ON TYPE arvo_v1.fire IS 'One time at which a cron text fires.';
COMMENT ON COLUMN arvo_v1.fire.fire_at IS 'The time.';
COMMENT ON COLUMN arvo_v1.fire.local_time IS 'What the clocks of the time zone show then.';
COMMENT ON COLUMN arvo_v1.fire.utc_offset IS 'How far they are ahead of UTC.';
