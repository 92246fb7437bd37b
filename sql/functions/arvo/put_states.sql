-- arvo.put_states(items) — write the states of a settlement.
CREATE OR REPLACE FUNCTION arvo.put_states(p_items arvo.result[])
RETURNS arvo.result[]
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = on
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $put_states$
-- Fills in the version that each write gave, or the verdict conflict (RV101) when the stored version
-- is another one; what follows a conflict in its ordered run is refused (RV301), for it was built on a
-- state that is not stored. Several writes of one subject, or of one run, are done one after the
-- other, those of a run in its order; otherwise all at once. First writes get their places in the trees
-- of workflows.
--
--   Reads    arvo.clock
--   Writes   arvo.state; as arvo.place
--   Locks    arvo.state rows, by subject: first those that are there, then first writes (those of a
--            run in its order); as arvo.place
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
    v_count bigint;
    v_single boolean;
    v_later boolean;
    v_first boolean;
    v_placing boolean := false;
    v_ats integer[];
    v_versions bigint[];
    v_at integer;
    v_next integer;
    v_digest bytea;
BEGIN
    IF cardinality(p_items) = 1 AND p_items[1].verdict IS NULL THEN
        p_items[1].state_version := arvo.put_state(
            p_items[1].state ->> 'subject',
            p_items[1].state -> 'data',
            (p_items[1].state ->> 'expected_version')::bigint,
            p_items[1].state ->> 'initiator',
            p_items[1].state ->> 'source'
        );
        IF p_items[1].state_version > 1 THEN
            RETURN p_items;
        ELSIF p_items[1].state_version = 1 THEN
            PERFORM arvo.place(
                ARRAY[p_items[1].state ->> 'subject'], ARRAY[p_items[1].state ->> 'parent_subject']
            );
            RETURN p_items;
        END IF;
    END IF;

    SELECT
        count(*),
        count(*) = count(DISTINCT arvo.subject_digest(item.state ->> 'subject'))
        AND count(item.key) = count(DISTINCT item.key),
        bool_or((item.state ->> 'expected_version')::bigint > 0),
        bool_or((item.state ->> 'expected_version')::bigint <= 0),
        min(item.ordinal)
    INTO v_count, v_single, v_later, v_first, v_at
    FROM unnest(p_items) AS item
    WHERE item.verdict IS NULL AND item.state IS NOT NULL;

    IF v_count > 1 AND v_single AND v_later THEN
        WITH asked AS MATERIALIZED (
            SELECT
                item.ordinal,
                item.state -> 'data' AS data,
                coalesce(item.state #>> '{data,executionStatus}', 'unknown') AS execution_status,
                (item.state ->> 'expected_version')::bigint AS expected,
                -- The join by this address takes the rows in the order of subjects.
                (
                    SELECT stored.ctid
                    FROM arvo.state AS stored
                    WHERE stored.subject_digest = arvo.subject_digest(item.state ->> 'subject')
                ) AS address
            FROM unnest(p_items) AS item
            WHERE item.verdict IS NULL
            AND item.state IS NOT NULL
            AND (item.state ->> 'expected_version')::bigint > 0
            ORDER BY item.state ->> 'subject' COLLATE "C"
        ),

        written AS (
            UPDATE arvo.state
            SET version = state.version + 1,
                data = asked.data,
                execution_status = asked.execution_status,
                changed_at = v_now
            FROM asked
            WHERE state.ctid = asked.address AND state.version = asked.expected
            RETURNING asked.ordinal, state.version
        )

        SELECT array_agg(written.ordinal), array_agg(written.version)
        INTO v_ats, v_versions
        FROM written;
        FOR v_next IN 1..coalesce(cardinality(v_ats), 0) LOOP
            p_items[v_ats[v_next]].state_version := v_versions[v_next];
        END LOOP;
    END IF;

    IF v_count > 1 AND v_single AND v_first THEN
        WITH asked AS MATERIALIZED (
            SELECT
                item.ordinal,
                item.state ->> 'subject' AS subject,
                arvo.subject_digest(item.state ->> 'subject') AS subject_digest,
                item.state -> 'data' AS data,
                coalesce(item.state #>> '{data,executionStatus}', 'unknown') AS execution_status,
                item.state ->> 'initiator' AS initiator,
                item.state ->> 'source' AS source
            FROM unnest(p_items) AS item
            WHERE item.verdict IS NULL
            AND item.state IS NOT NULL
            AND (item.state ->> 'expected_version')::bigint <= 0
        ),

        written AS (
            INSERT INTO arvo.state (
                subject_digest, subject, version, data, execution_status, initiator, source,
                created_at, changed_at
            )
            SELECT
                asked.subject_digest, asked.subject, 1, asked.data, asked.execution_status,
                asked.initiator, asked.source, v_now, v_now
            FROM asked
            -- Not waited for: it is a conflict.
            WHERE NOT EXISTS (
                SELECT
                FROM arvo.state AS stored
                WHERE stored.subject_digest = asked.subject_digest
            )
            ORDER BY asked.subject COLLATE "C"
            ON CONFLICT (subject_digest) DO NOTHING
            RETURNING state.subject_digest
        )

        SELECT array_agg(asked.ordinal) INTO v_ats
        FROM asked
        WHERE asked.subject_digest IN (SELECT written.subject_digest FROM written);
        FOREACH v_next IN ARRAY coalesce(v_ats, '{}') LOOP
            p_items[v_next].state_version := 1;
            v_placing := true;
        END LOOP;
    END IF;

    IF v_later AND NOT v_single THEN
        FOR v_digest IN
            SELECT DISTINCT ON (listed.subject COLLATE "C") arvo.subject_digest(listed.subject)
            FROM (
                SELECT item.state ->> 'subject' AS subject
                FROM unnest(p_items) AS item
                WHERE item.verdict IS NULL AND (item.state ->> 'expected_version')::bigint > 0
            ) AS listed
            ORDER BY listed.subject COLLATE "C"
        LOOP
            PERFORM FROM arvo.state WHERE state.subject_digest = v_digest FOR NO KEY UPDATE;
        END LOOP;
    END IF;

    -- By subject; a run stands where its first subject does.
    FOR v_at IN
        SELECT item.ordinal
        FROM (
            SELECT
                listed.ordinal,
                listed.place,
                min((listed.state ->> 'subject') COLLATE "C") OVER (
                    PARTITION BY
                        listed.lease,
                        listed.key,
                        CASE WHEN listed.place IS NULL THEN listed.ordinal END
                ) AS subject
            FROM unnest(p_items) AS listed
            WHERE listed.verdict IS NULL
            AND listed.state IS NOT NULL
            AND listed.state_version IS NULL
        ) AS item
        ORDER BY item.subject COLLATE "C", item.place, item.ordinal
    LOOP
        CONTINUE WHEN p_items[v_at].verdict IS NOT NULL;
        IF cardinality(p_items) > 1 AND (v_count = 1 OR NOT v_single) THEN
            p_items[v_at].state_version := arvo.put_state(
                p_items[v_at].state ->> 'subject',
                p_items[v_at].state -> 'data',
                (p_items[v_at].state ->> 'expected_version')::bigint,
                p_items[v_at].state ->> 'initiator',
                p_items[v_at].state ->> 'source'
            );
            v_placing := v_placing OR p_items[v_at].state_version = 1;
            CONTINUE WHEN p_items[v_at].state_version IS NOT NULL;
        END IF;
        p_items[v_at].code := 'RV101';
        p_items[v_at].detail := format(
            'version mismatch: subject %s is not at version %s',
            left((p_items[v_at].state -> 'subject')::text, 80),
            p_items[v_at].state ->> 'expected_version'
        );
        p_items[v_at].verdict := 'conflict';
        p_items[v_at].error := jsonb_build_object(
            'name', 'VersionConflict', 'message', p_items[v_at].detail, 'stack', NULL
        );
        FOR v_next IN
            SELECT item.ordinal
            FROM unnest(p_items) AS item
            WHERE item.verdict IS NULL
            AND item.lease = p_items[v_at].lease
            AND item.key = p_items[v_at].key
            AND item.place > p_items[v_at].place
        LOOP
            p_items[v_next].verdict := 'refused';
            p_items[v_next].code := 'RV301';
            p_items[v_next].detail := format(
                'delivery %s is not completed, and comes before it', p_items[v_at].delivery
            );
        END LOOP;
    END LOOP;

    IF v_placing THEN
        PERFORM arvo.place(
            array_agg(item.state ->> 'subject'), array_agg(item.state ->> 'parent_subject')
        )
        FROM unnest(p_items) AS item
        WHERE item.state_version = 1;
    END IF;
    RETURN p_items;
END;
$put_states$;

COMMENT ON FUNCTION arvo.put_states(arvo.result[]) IS
'Writes the states of a settlement: new versions, or the verdict that a state had moved on.';

REVOKE ALL ON FUNCTION arvo.put_states(arvo.result[]) FROM PUBLIC;
