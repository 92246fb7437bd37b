-- arvo.vitals_of_server() — what the server around the rooms is like.
CREATE OR REPLACE FUNCTION arvo.vitals_of_server()
RETURNS SETOF arvo_v1.vital
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $vitals_of_server$
-- Without pg_read_all_stats the owner of the rooms sees of other people's sessions who they are and
-- how far back their snapshots reach, not what they do and since when; the answer says so. A snapshot
-- older than a million transactions, or five minutes where that can be seen, is a notice; ten million,
-- or an hour, a warning.
--
--   Reads    pg_stat_activity, pg_prepared_xacts, pg_replication_slots, pg_stat_replication,
--            pg_sequences, pg_notification_queue_usage, pg_control_system, arvo.origin, arvo.lane,
--            arvo.lease, arvo.promotion, arvo.clock
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
    v_sees_all boolean := pg_has_role('pg_read_all_stats', 'USAGE');
    v_blind text;
    v_home bigint;
    v_here bigint;
    v_newest timestamptz;
    v_usage double precision := pg_notification_queue_usage();
    v_count bigint;
    v_holder record;
BEGIN
    v_blind := CASE
        WHEN NOT v_sees_all THEN
            ' Times and states of other roles'' sessions are hidden: grant pg_read_all_stats to the'
            ' owner of the schema to see them.'
        ELSE ''
    END;

    SELECT origin.system_identifier INTO v_home
    FROM arvo.origin
    ORDER BY origin.number DESC
    LIMIT 1;
    SELECT control.system_identifier INTO v_here FROM pg_control_system() AS control;
    RETURN NEXT (
        'cluster',
        CASE WHEN v_home = v_here THEN 'ok' ELSE 'warning' END,
        v_here::text,
        CASE
            WHEN v_home = v_here THEN 'The stored transaction numbers are of this cluster.'
            ELSE format('The stored transaction numbers are of cluster %s: claims are refused.',
                        v_home)
        END,
        CASE WHEN v_home <> v_here THEN 'See the hint of RV902.' END
    )::arvo_v1.vital;

    SELECT greatest(max(head.leased_at), (SELECT max(promotion.at) FROM arvo.promotion))
    INTO v_newest
    FROM arvo.lane
    CROSS JOIN LATERAL (
        SELECT lease.leased_at
        FROM arvo.lease
        WHERE lease.lane = lane.lane
        ORDER BY lease.number DESC
        LIMIT 1
    ) AS head;
    RETURN NEXT (
        'clock',
        CASE WHEN v_newest > v_now + interval '1 second' THEN 'warning' ELSE 'ok' END,
        to_char(v_now AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
        CASE
            WHEN v_newest > v_now + interval '1 second'
                THEN format('The newest row is %s ahead of the server''s clock: it was set back.',
                            v_newest - v_now)
            ELSE 'No row is newer than the server''s clock.'
        END,
        CASE
            WHEN v_newest > v_now + interval '1 second'
                THEN 'Until it has caught up, leases lapse and retries come late.'
        END
    )::arvo_v1.vital;

    SELECT holder.* INTO v_holder
    FROM (
        SELECT
            age(activity.backend_xmin) AS age,
            v_now - activity.xact_start AS held,
            format('session %s of %s (%s)%s', activity.pid, activity.usename,
                   left(to_json(activity.application_name)::text, 80),
                   ', ' || activity.state) AS name,
            'End that session, or let it end its transaction.' AS remedy
        FROM pg_stat_activity AS activity
        WHERE activity.backend_xmin IS NOT NULL AND activity.pid <> pg_backend_pid()
        UNION ALL
        SELECT
            age(prepared.transaction), v_now - prepared.prepared,
            format('prepared transaction %s of %s', left(to_json(prepared.gid)::text, 80),
                   prepared.owner),
            'Commit it or roll it back.'
        FROM pg_prepared_xacts AS prepared
        UNION ALL
        SELECT
            greatest(age(slots.xmin), age(slots.catalog_xmin)), NULL,
            format('replication slot %s, %s', slots.slot_name,
                   CASE WHEN slots.active THEN 'active' ELSE 'inactive' END),
            'Drop the slot if nobody needs it.'
        FROM pg_replication_slots AS slots
        WHERE slots.xmin IS NOT NULL OR slots.catalog_xmin IS NOT NULL
        UNION ALL
        SELECT
            age(standby.backend_xmin), NULL, format('standby at session %s', standby.pid),
            'Look for long queries there, or turn hot_standby_feedback off.'
        FROM pg_stat_replication AS standby
        WHERE standby.backend_xmin IS NOT NULL
    ) AS holder
    ORDER BY holder.age DESC
    LIMIT 1;
    RETURN NEXT (
        'oldest_snapshot',
        CASE
            WHEN coalesce(v_holder.held > interval '1 hour', false) OR v_holder.age > 10000000
                THEN 'warning'
            WHEN coalesce(v_holder.held > interval '5 minutes', false) OR v_holder.age > 1000000
                THEN 'notice'
            ELSE 'ok'
        END,
        coalesce(v_holder.age, 0)::text,
        CASE
            WHEN v_holder.age IS NULL THEN 'Nobody else holds a snapshot.'
            ELSE format('%s holds back cleaning by %s transactions%s.', v_holder.name,
                        v_holder.age, ', for ' || v_holder.held)
        END || v_blind,
        CASE
            WHEN v_holder.age > 1000000 OR v_holder.held > interval '5 minutes'
                THEN v_holder.remedy
        END
    )::arvo_v1.vital;

    SELECT
        activity.pid,
        activity.usename,
        activity.application_name,
        v_now - activity.xact_start AS held,
        count(*) OVER () AS sessions
    INTO v_holder
    FROM pg_stat_activity AS activity
    WHERE starts_with(activity.state, 'idle in transaction')
    AND activity.state_change < v_now - interval '1 minute'
    ORDER BY activity.xact_start
    LIMIT 1;
    RETURN NEXT (
        'idle_in_transaction',
        CASE
            WHEN v_holder.held > interval '10 minutes' THEN 'warning'
            WHEN v_holder.pid IS NOT NULL THEN 'notice'
            ELSE 'ok'
        END,
        coalesce(v_holder.sessions, 0)::text,
        CASE
            WHEN v_holder.pid IS NULL THEN 'No session is seen to have been so for a minute.'
            ELSE format('The oldest is session %s of %s (%s), for %s.', v_holder.pid,
                        v_holder.usename, left(to_json(v_holder.application_name)::text, 80),
                        v_holder.held)
        END || v_blind,
        CASE
            WHEN v_holder.pid IS NOT NULL
                THEN 'Set idle_in_transaction_session_timeout for that role.'
        END
    )::arvo_v1.vital;

    SELECT count(*) INTO v_count
    FROM pg_stat_activity AS activity
    WHERE activity.application_name = 'arvo' || '-wakeup'
    AND activity.datname = current_database();
    RETURN NEXT (
        'listeners',
        'ok',
        v_count::text,
        'Sessions that call themselves wake-up connections; others may listen under other names.',
        NULL
    )::arvo_v1.vital;
    RETURN NEXT (
        'notifications',
        CASE WHEN v_usage > 0.5 THEN 'warning' WHEN v_usage > 0.1 THEN 'notice' ELSE 'ok' END,
        round(v_usage::numeric * 100, 1) || ' %',
        'Of the server''s queue of notifications, for all databases; when it is full, no dispatch'
        ' can commit.',
        CASE
            WHEN v_usage > 0.1
                THEN 'A session that listens has a transaction open for long: end it.'
        END
    )::arvo_v1.vital;

    RETURN QUERY
    SELECT
        'sequence',
        CASE WHEN used.share > 0.95 THEN 'warning' ELSE 'notice' END,
        used.name,
        format('%s %% of its numbers are used.', round(used.share * 100, 1)),
        'Report this: it was to last for ever.'
    FROM (
        SELECT
            sequences.sequencename::text AS name,
            sequences.last_value::numeric / sequences.max_value AS share
        FROM pg_sequences AS sequences
        WHERE sequences.schemaname = 'arvo'
    ) AS used
    WHERE used.share > 0.8
    ORDER BY used.name;
    IF NOT FOUND THEN
        RETURN NEXT (
            'sequence', 'ok', NULL, 'No sequence has used more than 80 % of its numbers.', NULL
        )::arvo_v1.vital;
    END IF;
END;
$vitals_of_server$;

COMMENT ON FUNCTION arvo.vitals_of_server() IS
'Cluster, clock, old snapshots, idle transactions, listeners, notifications, sequences.';

REVOKE ALL ON FUNCTION arvo.vitals_of_server() FROM PUBLIC;
