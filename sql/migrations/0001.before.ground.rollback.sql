-- loses: every event, delivery, dead letter and workflow state
-- undo ground: schema arvo itself stays, it holds the bookkeeping of the migrations

SET LOCAL ROLE arvo_owner;

DROP TYPE
    arvo_v1.about, arvo_v1.queue, arvo_v1.dispatched, arvo_v1.claimed, arvo_v1.settled,
    arvo_v1.worked, arvo_v1.extended, arvo_v1.state, arvo_v1.lock, arvo_v1.kin, arvo_v1.queue_stats,
    arvo_v1.dead_letter, arvo_v1.redriven, arvo_v1.step, arvo_v1.maintained;
DROP TYPE arvo.result;
DROP TABLE
    arvo.lineage, arvo.state_lock, arvo.state, arvo.tombstone, arvo.dead, arvo.promotion,
    arvo.deferred, arvo.closure, arvo.lease, arvo.log, arvo.generation, arvo.lane, arvo.queue,
    arvo.origin, arvo.revision;
DROP SEQUENCE arvo.lock_token, arvo.lease_number, arvo.delivery_number;
DROP SCHEMA arvo_v1;
COMMENT ON SCHEMA arvo IS NULL;
