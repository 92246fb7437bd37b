-- arvo_v1.grant_queue(queue, role, may) — let a role do something with a queue; others who were not named may not.
CREATE OR REPLACE FUNCTION arvo_v1.grant_queue(p_queue text, p_role text, p_may text[])
RETURNS SETOF arvo_v1.queue_grant
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '2s'
AS $grant_queue$
-- p_queue is a name, also of a queue that is still to come; one that ends in * stands for all that
-- begin so. p_may: dispatch, consume, operate; the first grant of one closes it to everybody who is
-- not named. read: shows payloads to a role that only monitors; it closes nothing. p_role public opens
-- again what was closed. Members of a role may what the role may, and need the group role (arvo_client
-- and so on) as before. Grants for several names that cover a queue add up. Answers what is in force
-- for p_queue, as queue_grants.
--
--   Reads    arvo.clock; as arvo.hold_guards
--   Writes   arvo.queue_guard, arvo.operation; as arvo.flag_guarded
--   Locks    table arvo.queue, SHARE ROW EXCLUSIVE; arvo.queue rows
--   Raises   RV005  the transaction is not READ COMMITTED
--            RV006  an argument is not valid
--            RV007  the caller may not operate these queues
--            55P03  a queue has been in the making for two seconds: call again
DECLARE
    v_changed bigint;
BEGIN
    PERFORM arvo.hold_guards(p_queue, p_role, p_may);
    IF p_role = 'public' THEN
        DELETE FROM arvo.queue_guard
        WHERE queue_guard.queue = p_queue
        AND queue_guard.may = ANY (p_may)
        AND queue_guard.may <> 'read';
        GET DIAGNOSTICS v_changed = ROW_COUNT;
    END IF;
    INSERT INTO arvo.queue_guard AS known (queue, may, roles, changed_at, changed_by)
    SELECT p_queue, given.may, ARRAY[p_role], arvo.clock(), session_user
    FROM (SELECT DISTINCT named.may FROM unnest(p_may) AS named (may)) AS given
    WHERE p_role <> 'public' OR given.may = 'read'
    ON CONFLICT (may, queue) DO UPDATE
    SET roles = known.roles || excluded.roles,
        changed_at = excluded.changed_at,
        changed_by = excluded.changed_by
    WHERE NOT excluded.roles <@ known.roles;
    IF p_role <> 'public' OR FOUND THEN
        GET DIAGNOSTICS v_changed = ROW_COUNT;
    END IF;
    PERFORM arvo.flag_guarded(p_queue);
    PERFORM arvo.note_operation(
        'grant_queue', p_queue, jsonb_build_object('role', p_role, 'may', p_may), v_changed
    );
    RETURN QUERY SELECT granted.* FROM arvo_v1.queue_grants(p_queue) AS granted;
END;
$grant_queue$;

COMMENT ON FUNCTION arvo_v1.grant_queue(text, text, text[]) IS
'Lets a role dispatch to a queue, consume, operate or read it; closes that to roles not granted.';

REVOKE ALL ON FUNCTION arvo_v1.grant_queue(text, text, text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.grant_queue(text, text, text[]) TO arvo_operator;
