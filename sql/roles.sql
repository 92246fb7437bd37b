-- The roles of an installation. May be run again; needs a superuser, or CREATEROLE and the
-- database's ownership. No role can log in: grant the group roles to users that can.
--
--   arvo_owner      owns every schema, table and function
--   arvo_client     dispatches events
--   arvo_worker     claims, settles, keeps state
--   arvo_operator   sees dead letters and redrives them
--   arvo_monitor    reads statistics
DO $roles$
BEGIN
    IF to_regrole('arvo_owner') IS NULL THEN
        CREATE ROLE arvo_owner NOLOGIN;
    END IF;
    IF to_regrole('arvo_client') IS NULL THEN
        CREATE ROLE arvo_client NOLOGIN;
    END IF;
    IF to_regrole('arvo_worker') IS NULL THEN
        CREATE ROLE arvo_worker NOLOGIN;
    END IF;
    IF to_regrole('arvo_operator') IS NULL THEN
        CREATE ROLE arvo_operator NOLOGIN;
    END IF;
    IF to_regrole('arvo_monitor') IS NULL THEN
        CREATE ROLE arvo_monitor NOLOGIN;
    END IF;
END;
$roles$;

-- The user who migrates acts as the owner. Since PostgreSQL 16 a membership says what it is for.
DO $membership$
BEGIN
    IF current_setting('server_version_num')::integer < 160000 THEN
        IF NOT pg_has_role(current_user, 'arvo_owner', 'MEMBER') THEN
            GRANT arvo_owner TO CURRENT_USER;
        END IF;
    ELSIF NOT pg_has_role(current_user, 'arvo_owner', 'SET') THEN
        EXECUTE format('GRANT %I TO CURRENT_USER WITH INHERIT TRUE, SET TRUE', 'arvo_owner');
    END IF;
END;
$membership$;

-- The owner creates its schemas itself.
DO $database$
BEGIN
    IF NOT has_database_privilege('arvo_owner', current_database(), 'CREATE') THEN
        EXECUTE format('GRANT CREATE ON DATABASE %I TO %I', current_database(), 'arvo_owner');
    END IF;
END;
$database$;
