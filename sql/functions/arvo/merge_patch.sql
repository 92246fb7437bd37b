-- arvo.merge_patch(target, patch) — a JSON document, changed as RFC 7396 says.
CREATE OR REPLACE FUNCTION arvo.merge_patch(p_target jsonb, p_patch jsonb)
RETURNS jsonb
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $merge_patch$
-- Members of the patch replace those of the target, objects are merged member by member, null
-- takes a member away. Anything but an object replaces the target whole.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_target jsonb := CASE WHEN jsonb_typeof(p_target) = 'object' THEN p_target ELSE '{}' END;
BEGIN
    IF p_patch IS NULL OR jsonb_typeof(p_patch) <> 'object' THEN
        RETURN p_patch;
    END IF;
    RETURN (
        SELECT
            v_target
            - coalesce(array_agg(member.key) FILTER (WHERE member.value = 'null'), '{}')
            || coalesce(
                jsonb_object_agg(
                    member.key, arvo.merge_patch(v_target -> member.key, member.value)
                ) FILTER (WHERE member.value <> 'null'),
                '{}'
            )
        FROM jsonb_each(p_patch) AS member
    );
END;
$merge_patch$;

COMMENT ON FUNCTION arvo.merge_patch(jsonb, jsonb) IS
'A JSON document after a JSON Merge Patch (RFC 7396).';

REVOKE ALL ON FUNCTION arvo.merge_patch(jsonb, jsonb) FROM PUBLIC;
