-- arvo_v1.import_states(rows, locked, dry_run) — take over states that another memory has kept.
CREATE OR REPLACE FUNCTION arvo_v1.import_states(
    p_rows jsonb,
    p_locked text DEFAULT 'refuse',
    p_dry_run boolean DEFAULT false
)
RETURNS SETOF arvo_v1.imported
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
AS $import_states$
-- Each row is an object; what is null or left out is not known:
--
--   subject                   the workflow
--   data, version             its state; without data, only its place in the tree and its lock
--   source, initiator         the handler, and who started the workflow
--   execution_status          if the data do not say it
--   parent_subject            its parent; else the data's parentSubject
--   root_subject              of use only if parent_is_known is false: then the parent hangs below it
--   created_at, updated_at    times with their offset
--   locked_for                seconds that a lock on it still has
--
-- Versions are kept. A state that is here already is replaced only by a newer version of what was
-- taken before, and only while nobody has written it here: so a call can be repeated while the other
-- memory goes on being used. What was taken and then removed here is not taken again. p_locked says
-- what a lock means: refuse (the row), carry (take the lock, too, until it lapses there), or ignore.
-- Rows are judged one by one, in order of their subjects; each is answered at its place.
--
--   Reads    arvo.clock, arvo.state, arvo.import_mark
--   Writes   arvo.state, arvo.import_mark, arvo.operation; as arvo.place and arvo_v1.acquire_lock
--   Locks    of each subject as arvo_v1.acquire_lock, tried, then its arvo.state row; then as
--            arvo.place. A dry run locks nothing
--   Raises   RV006  an argument is not valid
DECLARE
    v_argument text := CASE
        WHEN coalesce(jsonb_typeof(p_rows), 'null') <> 'array' THEN 'rows'
        WHEN jsonb_array_length(p_rows) > 10000 THEN 'rows'
        WHEN p_locked IS NULL OR p_locked NOT IN ('refuse', 'carry', 'ignore') THEN 'locked'
        WHEN p_dry_run IS NULL THEN 'dry_run'
    END;
    v_now timestamptz := arvo.clock();
    v_given record;
    v_row jsonb;
    v_done arvo_v1.imported[] := '{}'::arvo_v1.imported[];
    v_one arvo_v1.imported;
    v_data jsonb;
    v_version bigint;
    v_digest bytea;
    v_mark bigint;
    v_here record;
    v_fault text;
    v_parent text;
    v_subjects text[] := '{}'::text[];
    v_parents text[] := '{}'::text[];
BEGIN
    IF v_argument IS NOT NULL THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = v_argument,
              DETAIL = format('argument: %s', v_argument),
              HINT = 'rows is an array of at most 10000 objects; locked is refuse, carry or ignore.';
    END IF;

    FOR v_given IN
        SELECT listed.item, listed.ordinal::integer AS ordinal
        FROM jsonb_array_elements(p_rows) WITH ORDINALITY AS listed (item, ordinal)
        ORDER BY listed.item ->> 'subject' COLLATE "C", listed.ordinal
    LOOP
        v_row := v_given.item;
        v_one := (v_given.ordinal, v_row ->> 'subject', 'refused', NULL::bigint, NULL, NULL);
        v_fault := arvo.import_fault(v_row);
        IF v_fault IS NULL AND p_locked = 'refuse' AND (v_row ->> 'locked_for')::float8 > 0 THEN
            v_fault := format('locked: somebody holds it for %s more seconds',
                              ceil((v_row ->> 'locked_for')::float8));
        END IF;
        IF v_fault IS NOT NULL THEN
            v_one.code := split_part(v_fault, ': ', 1);
            v_one.detail := v_fault;
            v_done[v_given.ordinal] := v_one;
            CONTINUE;
        END IF;

        -- What the seed adds to the data that it gives out.
        v_data := nullif(v_row -> 'data', 'null') - '__postgres_version_counter_data_$$__';
        v_version := (v_row ->> 'version')::bigint;
        v_digest := arvo.subject_digest(v_one.subject);
        IF NOT p_dry_run AND p_locked = 'carry' AND (v_row ->> 'locked_for')::float8 > 0 THEN
            PERFORM arvo_v1.acquire_lock(
                v_one.subject,
                least(
                    greatest(
                        make_interval(secs => (v_row ->> 'locked_for')::float8),
                        interval '1 millisecond'
                    ),
                    interval '30 days'
                )
            );
        END IF;
        IF p_dry_run THEN
            SELECT state.version, state.data INTO v_here
            FROM arvo.state
            WHERE state.subject_digest = v_digest;
        ELSE
            SELECT state.version, state.data INTO v_here
            FROM arvo.state
            WHERE state.subject_digest = v_digest
            FOR NO KEY UPDATE;
        END IF;
        v_mark := (
            SELECT import_mark.version
            FROM arvo.import_mark
            WHERE import_mark.subject_digest = v_digest
        );

        IF v_data IS NULL THEN
            v_one.outcome := 'placed';
        ELSIF v_here.version IS NULL AND v_mark IS NOT NULL THEN
            v_one.outcome := 'present';
            v_one.code := 'gone';
            v_one.detail := format('gone: version %s was taken, and has been removed here', v_mark);
        ELSIF v_here.version IS NULL THEN
            v_one.outcome := 'taken';
            IF NOT p_dry_run THEN
                INSERT INTO arvo.state (
                    subject_digest, subject, version, data, execution_status, initiator, source,
                    created_at, changed_at
                )
                VALUES (
                    v_digest, v_one.subject, v_version, v_data,
                    coalesce(
                        v_data ->> 'executionStatus', v_row ->> 'execution_status', 'unknown'
                    ),
                    v_row ->> 'initiator', v_row ->> 'source',
                    coalesce((v_row ->> 'created_at')::timestamptz, v_now),
                    coalesce((v_row ->> 'updated_at')::timestamptz, v_now)
                )
                ON CONFLICT (subject_digest) DO NOTHING;
                IF NOT FOUND THEN
                    v_one.outcome := 'refused';
                    v_one.code := 'busy';
                    v_one.detail := 'busy: it is being written here at this moment';
                END IF;
            END IF;
        ELSIF v_here.version = v_version AND v_here.data = v_data OR v_version <= v_mark THEN
            v_one.outcome := 'present';
        ELSIF v_mark = v_here.version AND v_version > v_mark THEN
            v_one.outcome := 'updated';
            IF NOT p_dry_run THEN
                UPDATE arvo.state
                SET version = v_version,
                    data = v_data,
                    execution_status = coalesce(
                        v_data ->> 'executionStatus', v_row ->> 'execution_status', 'unknown'
                    ),
                    changed_at = coalesce((v_row ->> 'updated_at')::timestamptz, v_now)
                WHERE state.subject_digest = v_digest;
            END IF;
        ELSE
            v_one.code := 'diverged';
            v_one.detail := format('diverged: version %s is given, but version %s was written here',
                                   v_version, v_here.version);
        END IF;
        v_one.version := CASE
            WHEN v_one.outcome IN ('taken', 'updated') THEN v_version
            ELSE v_here.version
        END;
        v_done[v_given.ordinal] := v_one;
        CONTINUE WHEN p_dry_run OR v_one.outcome = 'refused' OR v_one.code = 'gone';

        IF v_one.outcome IN ('taken', 'updated') THEN
            INSERT INTO arvo.import_mark AS known (subject_digest, version, at)
            VALUES (v_digest, v_version, v_now)
            ON CONFLICT (subject_digest) DO UPDATE
            SET version = excluded.version, at = excluded.at
            WHERE known.version < excluded.version;
        END IF;
        v_parent := coalesce(
            nullif(v_row ->> 'parent_subject', ''), nullif(v_data ->> 'parentSubject', '')
        );
        v_subjects := v_subjects || v_one.subject;
        v_parents := v_parents || v_parent;
        -- The links between the parent and the root are lost; what they led to is not.
        IF v_row ->> 'parent_is_known' = 'false'
            AND v_row ->> 'root_subject' NOT IN ('', v_one.subject, v_parent)
        THEN
            v_subjects := v_subjects || v_parent;
            v_parents := v_parents || (v_row ->> 'root_subject');
        END IF;
    END LOOP;

    IF cardinality(v_subjects) > 0 THEN
        PERFORM arvo.place(v_subjects, v_parents);
    END IF;
    IF NOT p_dry_run THEN
        PERFORM arvo.note_operation(
            'import_states', NULL,
            (
                SELECT jsonb_object_agg(counted.outcome, counted.times)
                FROM (
                    SELECT done.outcome, count(*) AS times
                    FROM unnest(v_done) AS done
                    GROUP BY done.outcome
                ) AS counted
            ),
            (
                SELECT count(*)
                FROM unnest(v_done) AS done
                WHERE done.outcome IN ('taken', 'updated', 'placed')
            )
        )
        WHERE cardinality(v_done) > 0;
    END IF;
    RETURN QUERY SELECT done.* FROM unnest(v_done) AS done ORDER BY done.ordinal;
END;
$import_states$;

COMMENT ON FUNCTION arvo_v1.import_states(jsonb, text, boolean) IS
'Takes over states that another memory has kept, with their versions, places in trees and locks; says what became of each.';

REVOKE ALL ON FUNCTION arvo_v1.import_states(jsonb, text, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.import_states(jsonb, text, boolean) TO arvo_operator;
