ALTER TYPE arvo_v1.operation
DROP ATTRIBUTE role;

DROP TYPE arvo_v1.queue_grant;

ALTER TABLE arvo.operation
DROP COLUMN role;

ALTER TABLE arvo.queue
DROP COLUMN guarded;

DROP TABLE arvo.queue_guard;
