-- arvo.hold_guards(queue, role, rights) — check who changes guards, and keep others from it.
CREATE OR REPLACE FUNCTION arvo.hold_guards(p_queue text, p_role text, p_rights text[])
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $hold_guards$
-- Whoever may operate a queue may change its guards: so the caller must be named by every guard of
-- "operate" that has to do with these names, be it wider or narrower. Otherwise one who operates
-- com.* could give himself com.secret.
--
--   Reads    arvo.queue_guard; as arvo.guard_fault and arvo.is_one_of
--   Writes   nothing
--   Locks    table arvo.queue, SHARE ROW EXCLUSIVE: no queue is made meanwhile
--   Raises   RV005  the transaction is not READ COMMITTED
--            RV006  an argument is not valid
--            RV007  the caller may not operate these queues
DECLARE
    v_fault text := arvo.guard_fault(p_queue, p_role, p_rights);
    v_closed text;
BEGIN
    PERFORM arvo.require_read_committed('grant_queue or revoke_queue');
    IF v_fault IS NOT NULL THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = split_part(v_fault, ':', 1),
              DETAIL = format(
                  'queue: %s, role: %s, may: %s', left(to_json(p_queue)::text, 80),
                  left(to_json(p_role)::text, 80), left(to_json(p_rights)::text, 80)
              ),
              HINT = format('For %s.', v_fault);
    END IF;
    LOCK TABLE arvo.queue IN SHARE ROW EXCLUSIVE MODE;
    -- A statement of its own: it must see what the last holder of the table committed.
    SELECT guard.queue INTO v_closed
    FROM arvo.queue_guard AS guard
    WHERE guard.may = 'operate'
    AND (arvo.covers(guard.queue, p_queue) OR arvo.covers(p_queue, guard.queue))
    AND NOT arvo.is_one_of(guard.roles)
    ORDER BY guard.queue COLLATE "C"
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'queue is closed to this role'
        USING ERRCODE = 'RV007',
              COLUMN = 'queue',
              DETAIL = arvo.closed_detail(v_closed, 'operate'),
              HINT = 'Who may operate it grants and revokes: ask one of those that queue_grants() names.';
    END IF;
END;
$hold_guards$;

COMMENT ON FUNCTION arvo.hold_guards(text, text, text[]) IS
'Checks a grant and its caller, and keeps queues and guards as they are until the commit.';

REVOKE ALL ON FUNCTION arvo.hold_guards(text, text, text[]) FROM PUBLIC;
