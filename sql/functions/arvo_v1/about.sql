-- arvo_v1.about() — what is installed here.
CREATE OR REPLACE FUNCTION arvo_v1.about()
RETURNS arvo_v1.about
LANGUAGE sql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $about$
-- A client asks once per connection and refuses a database that is too old or too new for it.
--
--   Reads    arvo.revision, pg_control_system
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT
    1,
    max(revision.number),
    max(revision.oldest_client),
    'arvo',
    (SELECT control.system_identifier::text FROM pg_control_system() AS control)
FROM arvo.revision;
$about$;

COMMENT ON FUNCTION arvo_v1.about() IS
'Contract version, newest migration, oldest client allowed, name and cluster of this installation.';

REVOKE ALL ON FUNCTION arvo_v1.about() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.about()
TO arvo_client, arvo_worker, arvo_operator, arvo_monitor;
