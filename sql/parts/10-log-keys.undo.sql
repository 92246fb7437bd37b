-- Keys that the log knows within their windows come into event_key again; rows that are nothing but
-- keys leave the log. The log is read twice and locked meanwhile.
LOCK TABLE arvo.log IN ACCESS EXCLUSIVE MODE;
LOCK TABLE arvo.generation IN SHARE ROW EXCLUSIVE MODE;

CREATE SEQUENCE arvo.event_key_number AS bigint MINVALUE 0 START 0;
COMMENT ON SEQUENCE arvo.event_key_number IS
'Number of the generation of event_key in use. A sequence, because every snapshot must see the newest.';
SELECT setval('arvo.event_key_number', 0, true);

CREATE TABLE arvo.event_key_generation (
    number bigint NOT NULL,
    horizon xid8 NOT NULL,
    opened_at timestamptz NOT NULL,
    CONSTRAINT event_key_generation_number_pkey PRIMARY KEY (number)
);
COMMENT ON TABLE arvo.event_key_generation IS
'Generations of event_key. While a transaction from before the newest one was opened may be running, dispatches write into both.';
COMMENT ON COLUMN arvo.event_key_generation.number IS 'Its number; the partition is number modulo 3.';
COMMENT ON COLUMN arvo.event_key_generation.horizon IS
'Every transaction that may use only the generation before has a number below this.';
COMMENT ON COLUMN arvo.event_key_generation.opened_at IS 'When it came into use.';
INSERT INTO arvo.event_key_generation (number, horizon, opened_at) VALUES (0, '0', clock_timestamp());

CREATE TABLE arvo.event_key (
    slot smallint NOT NULL,
    queue integer NOT NULL,
    key bytea NOT NULL,
    delivery bigint NOT NULL,
    at timestamptz NOT NULL,
    CONSTRAINT event_key_slot_queue_key_pkey PRIMARY KEY (slot, queue, key)
) PARTITION BY LIST (slot);
COMMENT ON TABLE arvo.event_key IS
'Sources and ids that were dispatched lately, per queue: the same again is answered with the first delivery. Three partitions in turn, emptied whole.';
COMMENT ON COLUMN arvo.event_key.slot IS 'The partition.';
COMMENT ON COLUMN arvo.event_key.queue IS 'The queue.';
COMMENT ON COLUMN arvo.event_key.key IS 'First 16 bytes of the SHA-256 of source and id.';
COMMENT ON COLUMN arvo.event_key.delivery IS 'The first delivery.';
COMMENT ON COLUMN arvo.event_key.at IS 'When it was dispatched.';
CREATE TABLE arvo.event_key_0 PARTITION OF arvo.event_key FOR VALUES IN (0);
CREATE TABLE arvo.event_key_1 PARTITION OF arvo.event_key FOR VALUES IN (1);
CREATE TABLE arvo.event_key_2 PARTITION OF arvo.event_key FOR VALUES IN (2);

INSERT INTO arvo.event_key (slot, queue, key, delivery, at)
SELECT DISTINCT ON (known.queue, known.key) 0, known.queue, known.key, known.delivery, known.at
FROM (
    SELECT
        coalesce(lane.queue, log.key::integer) AS queue,
        substr(
            sha256(convert_to(
                concat(
                    length(log.event ->> 'source'), ':', log.event ->> 'source', log.event ->> 'id'
                ),
                'UTF8'
            )),
            1, 16
        ) AS key,
        abs(log.delivery) AS delivery,
        log.at
    FROM arvo.log
    LEFT JOIN arvo.lane ON lane.lane = log.lane
    WHERE log.dedup_key IS NOT NULL
) AS known
INNER JOIN arvo.queue ON queue.queue = known.queue
WHERE known.at > clock_timestamp() - queue.deduplicate_for
ORDER BY known.queue, known.key, known.at DESC;

DELETE FROM arvo.log WHERE log.lane = 0;
DROP INDEX arvo.log_0_event_idx, arvo.log_1_event_idx, arvo.log_2_event_idx, arvo.log_3_event_idx;
ALTER TABLE arvo.log DROP COLUMN dedup_key;
CREATE INDEX log_event_idx ON arvo.log (event_key);
COMMENT ON TABLE arvo.log IS
'Every delivery in order of acceptance, with the event itself at its first. Never updated, never deleted: emptied by generation.';
COMMENT ON COLUMN arvo.log.delivery IS 'Number of the delivery; a retry has a new one.';
COMMENT ON COLUMN arvo.log.key IS 'Hash of its key, as arvo.key_of gives it; NULL when it has none of its own.';

ALTER TABLE arvo.generation
DROP COLUMN horizon,
DROP CONSTRAINT generation_slot_check,
ADD CONSTRAINT generation_slot_check CHECK (slot BETWEEN 0 AND 3);
COMMENT ON TABLE arvo.generation IS
'History of generations: the newest row names the slot (partition) that new rows are stamped with.';
COMMENT ON COLUMN arvo.generation.number IS 'Running number.';

DROP TYPE arvo.key_span;
COMMENT ON COLUMN arvo_v1.maintained.task IS
'promoted, healed, retired, expired, swept, unlocked, keys, notes, turned, finished, opened or emptied.';
