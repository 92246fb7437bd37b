-- arvo.forget_states(look, limit) — remove states of workflows that finished long ago.
CREATE OR REPLACE FUNCTION arvo.forget_states(p_look integer, p_limit integer)
RETURNS integer
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $forget_states$
-- Where a rule applies (arvo_v1.retain_states), and only then. The states are gone through in a round,
-- in order of their keys: p_look of them a call, of which p_limit are removed at most. An index by age
-- would cost every write of a state its place on its page.
--
-- A state goes when its record says that the workflow is done or has failed, its last write is old
-- enough, nobody holds its lock, and nothing is to be delivered to the workflow any more: nothing
-- waits, runs, is put off, or lies in a dead letter, also in queues that the caller may not operate. Its last step has emitted its completion in the
-- transaction that stored it. Places in trees stay as long as something descends from them. Marks of
-- imports go after 90 days. Returns how many states went.
--
--   Reads    arvo.clock, arvo.state_retention, arvo.dead; as arvo.find_deliveries
--   Writes   arvo.state, arvo.state_lock, arvo.state_round, arvo.import_mark; as arvo.prune_lineage
--   Locks    of each subject its transaction lock, tried, its arvo.state_lock row and arvo.state row,
--            unless somebody holds them; as arvo.prune_lineage
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
    v_after bytea;
    v_seen bytea;
    v_old record;
    v_gone integer := 0;
BEGIN
    DELETE FROM arvo.import_mark
    WHERE import_mark.subject_digest IN (
        SELECT known.subject_digest
        FROM arvo.import_mark AS known
        WHERE known.at <= v_now - interval '90 days'
        ORDER BY known.at
        LIMIT p_look
        FOR UPDATE SKIP LOCKED
    );
    IF NOT EXISTS (SELECT FROM arvo.state_retention) THEN
        RETURN 0;
    END IF;
    SELECT state_round.after_digest INTO v_after FROM arvo.state_round;

    FOR v_old IN
        SELECT
            seen.subject_digest,
            seen.subject,
            seen.changed_at,
            CASE
                WHEN seen.changed_at <= v_now - coalesce(own.age, general.age)
                    THEN arvo.is_finished(seen.execution_status, seen.data)
                ELSE false
            END AS is_old
        FROM (
            SELECT
                state.subject_digest, state.subject, state.source, state.execution_status,
                state.data, state.changed_at
            FROM arvo.state
            WHERE state.subject_digest > v_after
            ORDER BY state.subject_digest
            LIMIT p_look
        ) AS seen
        LEFT JOIN arvo.state_retention AS own
            ON own.source = seen.source AND seen.source <> ''
        LEFT JOIN arvo.state_retention AS general ON general.source = ''
        ORDER BY seen.subject_digest
    LOOP
        EXIT WHEN v_gone >= p_limit;
        v_seen := v_old.subject_digest;
        CONTINUE WHEN NOT v_old.is_old
            OR NOT pg_try_advisory_xact_lock(arvo.lock_key(v_old.subject))
            OR EXISTS (
                SELECT
                FROM arvo.state_lock
                WHERE state_lock.subject_digest = v_seen AND state_lock.expires_at > v_now
            )
            OR EXISTS (
                SELECT
                FROM (
                    SELECT dead.resolution
                    FROM arvo.dead
                    WHERE dead.subject_key = hashtextextended(v_old.subject, 0)
                    OFFSET 0  -- by subject: not by an index of all that are open
                ) AS died
                WHERE died.resolution IS NULL
            )
            OR EXISTS (
                SELECT
                FROM arvo.find_deliveries(
                    NULL, NULL, NULL, NULL, v_old.subject, NULL, NULL, NULL, NULL,
                    '{queued,parked,leased,deferred}', 1, NULL
                )
            );
        DELETE FROM arvo.state
        USING (
            SELECT held.subject_digest
            FROM arvo.state AS held
            WHERE held.subject_digest = v_seen AND held.changed_at = v_old.changed_at
            FOR UPDATE SKIP LOCKED
        ) AS free
        WHERE state.subject_digest = free.subject_digest;
        CONTINUE WHEN NOT FOUND;
        v_gone := v_gone + 1;
        DELETE FROM arvo.state_lock
        USING (
            SELECT lapsed.subject_digest
            FROM arvo.state_lock AS lapsed
            WHERE lapsed.subject_digest = v_seen
            FOR UPDATE SKIP LOCKED
        ) AS free
        WHERE state_lock.subject_digest = free.subject_digest;
        PERFORM arvo.prune_lineage(v_seen);
    END LOOP;

    -- At the end the next call begins anew.
    UPDATE arvo.state_round
    SET after_digest = coalesce(v_seen, '')
    WHERE state_round.after_digest <> coalesce(v_seen, '');
    RETURN v_gone;
END;
$forget_states$;

COMMENT ON FUNCTION arvo.forget_states(integer, integer) IS
'Removes states of workflows that finished longer ago than they are to be kept; returns how many.';

REVOKE ALL ON FUNCTION arvo.forget_states(integer, integer) FROM PUBLIC;
