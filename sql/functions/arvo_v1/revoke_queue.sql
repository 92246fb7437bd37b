-- arvo_v1.revoke_queue(queue, role, may) — take back what a role may do with a queue.
CREATE OR REPLACE FUNCTION arvo_v1.revoke_queue(p_queue text, p_role text, p_may text[])
RETURNS SETOF arvo_v1.queue_grant
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '2s'
AS $revoke_queue$
-- What was closed stays so, also when nobody is left who may: a grant to public opens it. p_role
-- public closes something to everybody that nobody has been granted. p_queue is meant as it was
-- granted: a grant of com.* is not taken back by com.a. A role that no longer exists can be taken out
-- as well. Answers what is in force for p_queue, as queue_grants.
--
--   Reads    arvo.clock; as arvo.hold_guards
--   Writes   arvo.queue_guard, arvo.operation; as arvo.flag_guarded
--   Locks    table arvo.queue, SHARE ROW EXCLUSIVE; arvo.queue rows
--   Raises   RV005  the transaction is not READ COMMITTED
--            RV006  an argument is not valid
--            RV007  the caller may not operate these queues
--            55P03  a queue has been in the making for two seconds: call again
DECLARE
    v_known boolean := EXISTS (
        SELECT
        FROM arvo.queue_guard
        WHERE queue_guard.queue = p_queue AND p_role = ANY (queue_guard.roles)
    );
    v_changed bigint;
BEGIN
    PERFORM arvo.hold_guards(p_queue, CASE WHEN v_known THEN 'public' ELSE p_role END, p_may);
    IF p_role = 'public' THEN
        INSERT INTO arvo.queue_guard (queue, may, roles, changed_at, changed_by)
        SELECT p_queue, given.may, '{}', arvo.clock(), session_user
        FROM (SELECT DISTINCT named.may FROM unnest(p_may) AS named (may)) AS given
        WHERE given.may <> 'read'
        ON CONFLICT (may, queue) DO NOTHING;
        GET DIAGNOSTICS v_changed = ROW_COUNT;
    ELSE
        v_changed := 0;
    END IF;
    WITH taken AS (
        UPDATE arvo.queue_guard
        SET roles = array_remove(queue_guard.roles, p_role),
            changed_at = arvo.clock(),
            changed_by = session_user
        WHERE queue_guard.queue = p_queue
        AND queue_guard.may = ANY (p_may)
        AND p_role = ANY (queue_guard.roles)
        RETURNING queue_guard.may
    )

    SELECT v_changed + count(*) INTO v_changed FROM taken;
    DELETE FROM arvo.queue_guard
    WHERE queue_guard.queue = p_queue AND queue_guard.may = 'read' AND queue_guard.roles = '{}';
    PERFORM arvo.flag_guarded(p_queue);
    PERFORM arvo.note_operation(
        'revoke_queue', p_queue, jsonb_build_object('role', p_role, 'may', p_may), v_changed
    );
    RETURN QUERY SELECT granted.* FROM arvo_v1.queue_grants(p_queue) AS granted;
END;
$revoke_queue$;

COMMENT ON FUNCTION arvo_v1.revoke_queue(text, text, text[]) IS
'Takes back what a role may do with a queue; what was closed stays closed.';

REVOKE ALL ON FUNCTION arvo_v1.revoke_queue(text, text, text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.revoke_queue(text, text, text[]) TO arvo_operator;
