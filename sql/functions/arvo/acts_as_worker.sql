-- arvo.acts_as_worker() — whether the caller is there as a worker, and not as an operator.
CREATE OR REPLACE FUNCTION arvo.acts_as_worker()
RETURNS boolean
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $acts_as_worker$
-- Some functions are for both. What workers do by themselves is no news; whoever is an operator as well
-- is one here, or the audit could be passed by. Superusers and members of the owner, whom it cannot
-- bind, count as workers: where one role is everything, the audit does not grow with the work.
--
--   Reads    as arvo.is_one_of
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
SELECT arvo.is_one_of('{}')
    OR (arvo.is_one_of(ARRAY['arvo_worker']) AND NOT arvo.is_one_of(ARRAY['arvo_operator']));
$acts_as_worker$;

COMMENT ON FUNCTION arvo.acts_as_worker() IS
'Whether the caller is a worker and no operator; superusers and members of the owner count as such.';

REVOKE ALL ON FUNCTION arvo.acts_as_worker() FROM PUBLIC;
