-- undo functions

SET LOCAL ROLE arvo_owner;
SET LOCAL check_function_bodies = off;  -- blocks may refer to later blocks

DROP FUNCTION arvo_v1.write_state(text, jsonb, bigint, text, text, text, bigint);
--! function arvo_v1.write_state
--! end

DROP FUNCTION arvo_v1.work(jsonb, text[], integer, text, integer[], interval);
--! function arvo_v1.work
--! end

DROP FUNCTION arvo_v1.trace(text, text);
--! function arvo_v1.trace
--! end

DROP FUNCTION arvo_v1.subjects_by_root(text);
--! function arvo_v1.subjects_by_root
--! end

DROP FUNCTION arvo_v1.settle(jsonb);
--! function arvo_v1.settle
--! end

DROP FUNCTION arvo_v1.root_subject(text);
--! function arvo_v1.root_subject
--! end

DROP FUNCTION arvo_v1.renew_lock(text, bigint, interval);
--! function arvo_v1.renew_lock
--! end

DROP FUNCTION arvo_v1.release_lock(text, bigint);
--! function arvo_v1.release_lock
--! end

DROP FUNCTION arvo_v1.register_queue(text, boolean, integer, integer, interval, boolean, interval, interval, text, integer);
--! function arvo_v1.register_queue
--! end

DROP FUNCTION arvo_v1.redrive(text, bigint[], integer, boolean);
--! function arvo_v1.redrive
--! end

DROP FUNCTION arvo_v1.read_state(text);
--! function arvo_v1.read_state
--! end

DROP FUNCTION arvo_v1.queue_stats(text);
--! function arvo_v1.queue_stats
--! end

DROP FUNCTION arvo_v1.maintain();
--! function arvo_v1.maintain
--! end

DROP FUNCTION arvo_v1.lineage(text);
--! function arvo_v1.lineage
--! end

DROP FUNCTION arvo_v1.extend(bigint[], interval);
--! function arvo_v1.extend
--! end

DROP FUNCTION arvo_v1.dispatch_many(jsonb, interval, integer, boolean);
--! function arvo_v1.dispatch_many
--! end

DROP FUNCTION arvo_v1.dispatch(jsonb, interval, integer, boolean);
--! function arvo_v1.dispatch
--! end

DROP FUNCTION arvo_v1.dead_letters(text, bigint, integer, boolean);
--! function arvo_v1.dead_letters
--! end

DROP FUNCTION arvo_v1.cleanup_state(text);
--! function arvo_v1.cleanup_state
--! end

DROP FUNCTION arvo_v1.claim(text[], integer, text, integer[], interval);
--! function arvo_v1.claim
--! end

DROP FUNCTION arvo_v1.acquire_lock(text, interval);
--! function arvo_v1.acquire_lock
--! end

DROP FUNCTION arvo_v1.accept_cluster();
--! function arvo_v1.accept_cluster
--! end

DROP FUNCTION arvo_v1.about();
--! function arvo_v1.about
--! end

DROP FUNCTION arvo.withdraw(integer, bigint, arvo.log[]);
--! function arvo.withdraw
--! end

DROP FUNCTION arvo.window_snapshot();
--! function arvo.window_snapshot
--! end

DROP FUNCTION arvo.wake(text[]);
--! function arvo.wake
--! end

DROP FUNCTION arvo.sweep(arvo.lease, integer);
--! function arvo.sweep
--! end

DROP FUNCTION arvo.subject_digest(text);
--! function arvo.subject_digest
--! end

DROP FUNCTION arvo.slot();
--! function arvo.slot
--! end

DROP FUNCTION arvo.root_digest(bytea);
--! function arvo.root_digest
--! end

DROP FUNCTION arvo.retry_delay(interval, boolean, interval, integer, double precision);
--! function arvo.retry_delay
--! end

DROP FUNCTION arvo.require_read_committed(text);
--! function arvo.require_read_committed
--! end

DROP FUNCTION arvo.require_home();
--! function arvo.require_home
--! end

DROP FUNCTION arvo.read_results(jsonb);
--! function arvo.read_results
--! end

DROP FUNCTION arvo.put_state(text, jsonb, bigint, text, text);
--! function arvo.put_state
--! end

DROP FUNCTION arvo.promote(integer);
--! function arvo.promote
--! end

DROP FUNCTION arvo.place(text[], text[]);
--! function arvo.place
--! end

DROP FUNCTION arvo.open_deliveries(bigint, bigint[]);
--! function arvo.open_deliveries
--! end

DROP FUNCTION arvo.notice_unroutable(arvo_v1.dispatched[]);
--! function arvo.notice_unroutable
--! end

DROP FUNCTION arvo.next_due();
--! function arvo.next_due
--! end

DROP FUNCTION arvo.lock_key(text);
--! function arvo.lock_key
--! end

DROP FUNCTION arvo.lease_key(bigint);
--! function arvo.lease_key
--! end

DROP FUNCTION arvo.lane_for(text, integer);
--! function arvo.lane_for
--! end

DROP FUNCTION arvo.judge_results(arvo.result[]);
--! function arvo.judge_results
--! end

DROP FUNCTION arvo.is_worth_claiming(integer);
--! function arvo.is_worth_claiming
--! end

DROP FUNCTION arvo.is_unclaimed(arvo.lease, xid8, bigint);
--! function arvo.is_unclaimed
--! end

DROP FUNCTION arvo.is_queue_name(text);
--! function arvo.is_queue_name
--! end

DROP FUNCTION arvo.has_own(text[]);
--! function arvo.has_own
--! end

DROP FUNCTION arvo.give_back(integer, xid8, xid8, bigint, text, jsonb, interval);
--! function arvo.give_back
--! end

DROP FUNCTION arvo.event_of(arvo.log);
--! function arvo.event_of
--! end

DROP FUNCTION arvo.event_fault(jsonb);
--! function arvo.event_fault
--! end

DROP FUNCTION arvo.clock();
--! function arvo.clock
--! end

DROP FUNCTION arvo.claim_lane(integer, integer, text, interval);
--! function arvo.claim_lane
--! end

DROP FUNCTION arvo.bury(arvo.log, arvo.queue, text, jsonb);
--! function arvo.bury
--! end

DROP FUNCTION arvo.as_bigint(jsonb);
--! function arvo.as_bigint
--! end

DROP FUNCTION arvo.append(jsonb[], interval, integer, boolean);
--! function arvo.append
--! end

DROP FUNCTION arvo.again(arvo.log, integer, interval, jsonb);
--! function arvo.again
--! end

DELETE FROM arvo.revision WHERE number = 2;
