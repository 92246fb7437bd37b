-- arvo_v1.maintain() — what no claim does on its own.
CREATE OR REPLACE FUNCTION arvo_v1.maintain()
RETURNS SETOF arvo_v1.maintained
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $maintain$
-- Any number of sessions may call it; one at a time works, the others return at once. Bounded: each
-- task touches at most some thousand rows a call. One row for each task:
--
--   promoted  deferred deliveries that became due        unlocked  lapsed locks removed
--   healed    rows of expired leases taken back          keys      idle rows of keys removed
--   retired   unclaimed past retention: dead letters     notes     what was written down long ago
--   expired   parked past retention: dead letters        forgotten  states finished long ago
--   swept     deferred rows removed after promotion      finished  generations that are only history
--   tallied   lanes whose figures were carried on        opened, emptied  generations of history
--   workers   workers forgotten that are long gone
--
-- A task that fails is undone by itself and answered NULL, with a warning: the others are done all
-- the same. The last one may lock a part of the log for everybody: call this in a transaction of its
-- own, and commit at once. pg_cron may: SELECT * FROM arvo_v1.maintain().
--
--   Reads    as the functions called
--   Writes   as the functions called
--   Locks    the maintainer's lock, tried; then as the functions called, which wait for no lane and
--            no lease
--   Raises   RV005  the transaction is not READ COMMITTED
--            RV902  the stored transaction numbers are of another cluster
DECLARE
    v_task text;
    v_touched integer;
BEGIN
    PERFORM arvo.require_read_committed('maintain');
    PERFORM arvo.require_home();
    IF NOT pg_try_advisory_xact_lock(hashtext('arvo'), -1) THEN
        RETURN;
    END IF;
    PERFORM arvo.note_start();

    FOREACH v_task IN ARRAY '{promoted,tallied,healed,retired,expired,swept,unlocked,forgotten,keys,notes,workers,finished,opened,emptied}'::text[]
    LOOP
        BEGIN
            v_touched := CASE v_task
                WHEN 'promoted' THEN arvo.promote(5000)
                WHEN 'tallied' THEN arvo.tally_lanes()
                WHEN 'healed' THEN arvo.heal_lanes(32)
                WHEN 'retired' THEN arvo.retire_unclaimed(1000)
                WHEN 'expired' THEN arvo.expire_parked(1000)
                WHEN 'swept' THEN arvo.sweep_deferred(5000)
                WHEN 'unlocked' THEN arvo.sweep_locks(5000)
                WHEN 'forgotten' THEN arvo.forget_states(1000, 200)
                WHEN 'keys' THEN arvo.sweep_keys(1000)
                WHEN 'notes' THEN arvo.sweep_notes(1000)
                WHEN 'workers' THEN arvo.forget_workers()::integer
                WHEN 'finished' THEN arvo.finish_generations()
                WHEN 'opened' THEN arvo.open_generation()
                WHEN 'emptied' THEN arvo.empty_generation()
            END;
        EXCEPTION WHEN OTHERS THEN
            v_touched := NULL;
            RAISE WARNING 'maintenance task % failed: % %', v_task, SQLSTATE, SQLERRM;
        END;
        RETURN NEXT (v_task, v_touched)::arvo_v1.maintained;
    END LOOP;
END;
$maintain$;

COMMENT ON FUNCTION arvo_v1.maintain() IS
'What no claim does on its own: promotes, heals, applies retention, sweeps, and turns history; any number of sessions may call it.';

REVOKE ALL ON FUNCTION arvo_v1.maintain() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.maintain() TO arvo_worker, arvo_operator;
