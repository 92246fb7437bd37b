-- arvo.fresh_subject(id, type, source, domain, redirectto, dataschema) — name a new workflow.
CREATE OR REPLACE FUNCTION arvo.fresh_subject(
    p_id text,
    p_type text,
    p_source text,
    p_domain text,
    p_redirectto text,
    p_dataschema text
)
RETURNS text
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $fresh_subject$
-- What a client's factory does for an event without a subject: the base64 of the zlib stream of a
-- small JSON text, which names the orchestrator (the type), its version (the end of dataschema, else
-- 0.0.0), the execution (p_id) and its initiator (p_source). The stream is stored, not
-- compressed: every reader takes that. A source that can be no initiator gets p_id for a subject.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_text bytea;
    v_size integer;
    v_low bigint := 1::bigint;
    v_high bigint := 0::bigint;
BEGIN
    IF p_source !~ '^[a-z0-9]+(\.[a-z0-9]+)+\.[a-z0-9]+$' THEN
        RETURN p_id;
    END IF;
    v_text := convert_to(
        format(
            '{"orchestrator":{"name":%s,"version":%s},'
            '"execution":{"id":%s,"initiator":%s,"domain":%s},"meta":{%s}}',
            to_json(p_type),
            to_json(coalesce(substring(p_dataschema FROM '/(\d+\.\d+\.\d+)$'), '0.0.0')),
            to_json(p_id),
            to_json(p_source),
            coalesce(to_json(p_domain)::text, 'null'),
            '"redirectto":' || to_json(p_redirectto)
        ),
        'UTF8'
    );
    v_size := length(v_text);
    IF v_size > 65535 THEN
        RETURN p_id;
    END IF;
    FOR v_place IN 0 .. v_size - 1 LOOP
        v_low := (v_low + get_byte(v_text, v_place)) % 65521;
        v_high := (v_high + v_low) % 65521;
    END LOOP;
    -- One block: header; last and stored; its size, and that inverted; the text; Adler-32.
    RETURN translate(
        encode(
            '\x780101'::bytea
            || set_byte(set_byte('\x0000'::bytea, 0, v_size % 256), 1, v_size / 256)
            || set_byte(set_byte('\x0000'::bytea, 0, 255 - v_size % 256), 1, 255 - v_size / 256)
            || v_text
            || substring(int8send(v_high * 65536 + v_low) FROM 5),
            'base64'
        ),
        E'\n', ''
    );
END;
$fresh_subject$;

COMMENT ON FUNCTION arvo.fresh_subject(text, text, text, text, text, text) IS
'The subject of a new workflow, as a client''s factory makes it.';

REVOKE ALL ON FUNCTION
arvo.fresh_subject(text, text, text, text, text, text) FROM PUBLIC;
