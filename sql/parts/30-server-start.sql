-- ---------------------------------------------------------------------------------------------
-- server_start: whose transaction numbers this server gives, remembered for each start of it
-- ---------------------------------------------------------------------------------------------

CREATE TABLE arvo.server_start (
    started_at timestamptz NOT NULL,
    system_identifier bigint NOT NULL
);
COMMENT ON TABLE arvo.server_start IS
'Which cluster a server is that was started at that time: its control file takes long to read. A copy elsewhere was started at another time.';
COMMENT ON COLUMN arvo.server_start.started_at IS 'pg_postmaster_start_time().';
COMMENT ON COLUMN arvo.server_start.system_identifier IS 'system_identifier of pg_control_system().';
INSERT INTO arvo.server_start (started_at, system_identifier)
SELECT pg_postmaster_start_time(), control.system_identifier
FROM pg_control_system() AS control;
