-- arvo_v1.rebase(dry_run) — take over a restored dump: make its transaction numbers meaningful here.
CREATE OR REPLACE FUNCTION arvo_v1.rebase(p_dry_run boolean DEFAULT false)
RETURNS arvo_v1.rebased
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
SET work_mem = '64MB'
AS $rebase$
-- To be called once, after a dump was restored; until then dispatches and claims are refused, so
-- nobody is in its way. Answers one row. outcome home: nothing was to be done. accepted: this cluster
-- is past all stored numbers, so they can stay as they are; leases lapse by themselves. rebased: every
-- lane has a new one in its place, and what was live stands in it, in order and under the same
-- delivery numbers; what was leased counts as expired. The old rows stay as history. Fencing tokens go on from far above those that
-- the original may have given since. A dry run answers what would be done and changes nothing.
--
--   Reads    as arvo.whereabouts
--   Writes   arvo.origin, arvo.operation, arvo.tombstone, arvo.queue, arvo.generation; as
--            arvo.retire_lanes, arvo.rebase_leased, arvo.rebase_parked, arvo.rebase_queued,
--            arvo.rebase_deferred, arvo.close_lanes
--   Locks    arvo.origin, against other moves; arvo.lane, against queues being made
--   Raises   RV005  the transaction is not READ COMMITTED
--            RV901  as arvo.rebase_leased
DECLARE
    v_whereabouts text;
    v_done arvo_v1.rebased := ('home', 0::bigint, 0::bigint, 0::bigint, 0::bigint);
    v_own bigint;
    v_drained bigint[];
    v_queued bigint[];
BEGIN
    PERFORM arvo.require_read_committed('rebase');
    LOCK TABLE arvo.origin, arvo.lane IN SHARE ROW EXCLUSIVE MODE;
    v_whereabouts := arvo.whereabouts();
    IF v_whereabouts = 'home' THEN
        RETURN v_done;
    END IF;
    v_done.outcome := CASE WHEN v_whereabouts = 'foreign' THEN 'rebased' ELSE 'accepted' END;

    BEGIN
        IF v_done.outcome = 'rebased' THEN
            v_own := nextval('arvo.delivery_number'::regclass);
            v_done.parked := (SELECT count(*) FROM arvo.parked);
            v_done.leased := arvo.rebase_leased();
            PERFORM arvo.retire_lanes();
            PERFORM arvo.rebase_parked();
            v_drained := arvo.rebase_queued(v_own, true, 3);
            v_queued := arvo.rebase_queued(v_own, false, v_drained[2]);
            v_done.queued := v_drained[1] + v_queued[1];
            v_done.deferred := arvo.rebase_deferred(v_own);

            UPDATE arvo.tombstone
            SET lane = lane.successor
            FROM arvo.lane
            WHERE lane.lane = tombstone.lane AND lane.retired;
            UPDATE arvo.queue
            SET drained_to = format('%1$s:%1$s:', v_drained[2])::pg_snapshot
            WHERE queue.drained_to IS NOT NULL;
            UPDATE arvo.generation SET horizon = '0';
            DELETE FROM arvo.tally;
            PERFORM arvo.close_lanes();
            PERFORM arvo.pass_numbers(v_queued[2]);
        END IF;
        IF p_dry_run THEN
            RAISE EXCEPTION 'only looked' USING ERRCODE = 'RV901';
        END IF;
    EXCEPTION
        WHEN SQLSTATE 'RV901' THEN
            IF SQLERRM <> 'only looked' THEN
                RAISE;
            END IF;
            RETURN v_done;
    END;

    PERFORM setval('arvo.lease_number'::regclass, nextval('arvo.lease_number'::regclass) + 1000000000);
    PERFORM setval('arvo.lock_token'::regclass, nextval('arvo.lock_token'::regclass) + 1000000000);
    INSERT INTO arvo.origin (system_identifier, relation)
    SELECT control.system_identifier, 'arvo.origin'::regclass::oid
    FROM pg_control_system() AS control;
    PERFORM arvo.note_operation(
        'rebase', NULL, to_jsonb(v_done),
        v_done.leased + v_done.parked + v_done.queued + v_done.deferred
    );
    PERFORM arvo.wake(array_agg(queue.name)) FROM arvo.queue;
    RETURN v_done;
END;
$rebase$;

COMMENT ON FUNCTION arvo_v1.rebase(boolean) IS
'After a dump was restored into another cluster: takes over what waits here, once; says what it did.';

REVOKE ALL ON FUNCTION arvo_v1.rebase(boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.rebase(boolean) TO arvo_operator;
