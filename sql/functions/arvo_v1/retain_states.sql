-- arvo_v1.retain_states(source, age) — how long states of finished workflows are kept.
CREATE OR REPLACE FUNCTION arvo_v1.retain_states(
    p_source text DEFAULT NULL,
    p_age interval DEFAULT NULL
)
RETURNS SETOF arvo_v1.state_retention
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $retain_states$
-- Without p_source, a rule for all handlers that have no rule of their own. Without p_age the rule is
-- removed; where none applies, states are kept for ever, which is the default. maintain() removes what
-- is finished and older, see arvo.forget_states. Answers all rules.
--
--   Reads    arvo.clock
--   Writes   arvo.state_retention; arvo.operation, unless it is a worker's doing
--   Locks    arvo.state_retention row
--   Raises   RV006  an argument is not valid
DECLARE
    v_changed bigint;
BEGIN
    IF p_source = '' OR p_age NOT BETWEEN interval '1 minute' AND interval '3650 days' THEN
        RAISE EXCEPTION 'argument is not valid'
        USING ERRCODE = 'RV006',
              COLUMN = CASE WHEN p_source = '' THEN 'source' ELSE 'age' END,
              DETAIL = format('age: %s', p_age),
              HINT = 'source is a text that is not empty, or NULL for all; age is 1 minute to 3650 days, or'
                     ' NULL for no rule.';
    END IF;
    IF p_age IS NULL THEN
        DELETE FROM arvo.state_retention
        WHERE state_retention.source = coalesce(p_source, '');
    ELSE
        INSERT INTO arvo.state_retention AS rule (source, age, changed_at, changed_by)
        VALUES (coalesce(p_source, ''), p_age, arvo.clock(), session_user)
        ON CONFLICT (source) DO UPDATE
        SET age = excluded.age, changed_at = excluded.changed_at, changed_by = excluded.changed_by
        WHERE rule.age IS DISTINCT FROM excluded.age;
    END IF;
    GET DIAGNOSTICS v_changed = ROW_COUNT;
    -- Workers do it whenever they start: that is no operator's doing.
    IF v_changed > 0 AND NOT arvo.acts_as_worker() THEN
        PERFORM arvo.note_operation(
            'retain_states', NULL, jsonb_build_object('source', p_source, 'age', p_age), v_changed
        );
    END IF;
    RETURN QUERY SELECT rule.* FROM arvo_v1.state_retentions() AS rule;
END;
$retain_states$;

COMMENT ON FUNCTION arvo_v1.retain_states(text, interval) IS
'Says how long states of finished workflows are kept, of one handler or of all; answers all rules.';

REVOKE ALL ON FUNCTION arvo_v1.retain_states(text, interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.retain_states(text, interval) TO arvo_worker, arvo_operator;
