-- ---------------------------------------------------------------------------------------------
-- permissions per queue, and who acted
-- ---------------------------------------------------------------------------------------------

CREATE TABLE arvo.queue_guard (
    queue text NOT NULL,
    may text NOT NULL,
    roles text[] NOT NULL,
    changed_at timestamptz NOT NULL,
    changed_by text NOT NULL,
    CONSTRAINT queue_guard_may_queue_pkey PRIMARY KEY (may, queue),
    CONSTRAINT queue_guard_may_check CHECK (may IN ('dispatch', 'consume', 'operate', 'read'))
);
COMMENT ON TABLE arvo.queue_guard IS
'What is closed to all but some roles: dispatch, consume, operate; and read, open to none but some.';
COMMENT ON COLUMN arvo.queue_guard.queue IS 'Name of a queue; ending in * all that begin so.';
COMMENT ON COLUMN arvo.queue_guard.may IS 'dispatch, consume, operate or read.';
COMMENT ON COLUMN arvo.queue_guard.roles IS
'Whose members may, by name: a role of that name in a restored copy may, too. None: superusers only.';
COMMENT ON COLUMN arvo.queue_guard.changed_at IS 'When a role was added or taken away last.';
COMMENT ON COLUMN arvo.queue_guard.changed_by IS 'By which login role.';

ALTER TABLE arvo.queue
ADD COLUMN guarded boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN arvo.queue.guarded IS
'Whether something in queue_guard is about it: only then is anybody asked who he is.';

ALTER TABLE arvo.operation
ADD COLUMN role text;
COMMENT ON COLUMN arvo.operation.role IS 'The role that it was done as, by SET ROLE; NULL: the login role.';

CREATE TYPE arvo_v1.queue_grant AS (
    queue text,
    may text,
    roles text[],
    changed_at timestamptz,
    changed_by text
);
COMMENT ON TYPE arvo_v1.queue_grant IS 'Who may do something with a queue that not everybody may.';
COMMENT ON COLUMN arvo_v1.queue_grant.queue IS 'Name of a queue; ending in * all that begin so.';
COMMENT ON COLUMN arvo_v1.queue_grant.may IS 'dispatch, consume, operate or read.';
COMMENT ON COLUMN arvo_v1.queue_grant.roles IS 'Roles whose members may; empty: superusers only.';
COMMENT ON COLUMN arvo_v1.queue_grant.changed_at IS 'When a role was added or taken away last.';
COMMENT ON COLUMN arvo_v1.queue_grant.changed_by IS 'By which login role.';

ALTER TYPE arvo_v1.operation
ADD ATTRIBUTE role text;
COMMENT ON COLUMN arvo_v1.operation.role IS 'The role that it was done as; NULL: the login role.';
