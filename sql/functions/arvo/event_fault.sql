-- arvo.event_fault(event) — the first rule that an event breaks, or NULL.
CREATE OR REPLACE FUNCTION arvo.event_fault(p_event jsonb)
RETURNS text
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $event_fault$
-- Answers 'field: rule', the field first. The rules are those of ArvoEvent as far as a broker
-- depends on them; the finer ones (URI syntax, time syntax) are the client's. Size is measured as
-- PostgreSQL prints the event: at most 1 MiB (1,048,576 bytes). Numbers have at most 4000 digits, and
-- values are nested at most 512 deep.
--
-- Nearly every event breaks none, and is let in by one expression: a small one, with its time as
-- ArvoEvent and JavaScript write it, and with extensions that are null, booleans, numbers, or texts
-- that JSON writes as they are; cut off after 4000 characters they do not end. What that does not let
-- in is looked through rule by rule; it must not let in what breaks a rule below. A jsonpath, because a constant costs nothing to
-- set up; "is unknown" is how it says that an attribute is not there. A time whose separators stand in
-- their places, and which has only digits beside them, needs no regular expression. So small an event
-- is nested less than 512 deep, for a level takes eight bytes; numbers are in data, executionunits
-- and extensions.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_key text;
    v_value jsonb;
    v_type text;
BEGIN
    IF (
        p_event @@ 'strict $.id > "" && $.source > "" && $.subject > ""
            && $.data.type() == "object"
            && $.type like_regex "^[a-z0-9]+([.][a-z0-9]+)+[.][a-z0-9]+$"
            && ($.specversion == "1.0" || ($.specversion == null) is unknown)
            && ($.datacontenttype > "" || ($.datacontenttype == null) is unknown)
            && ($.to == null || $.to like_regex "^[A-Za-z0-9._~:/?#@!$&()+,;=%-]+$" || ($.to == null) is unknown)
            && ($.domain == null || $.domain like_regex "^[a-z0-9.]+$" || ($.domain == null) is unknown)
            && ($.accesscontrol == null || $.accesscontrol > "" || ($.accesscontrol == null) is unknown)
            && ($.redirectto == null || $.redirectto > "" || ($.redirectto == null) is unknown)
            && ($.dataschema == null || $.dataschema > "" || ($.dataschema == null) is unknown)
            && ($.parentid == null || $.parentid > "" || ($.parentid == null) is unknown)
            && ($.traceparent == null || $.traceparent > "" || ($.traceparent == null) is unknown)
            && ($.tracestate == null || $.tracestate > "" || ($.tracestate == null) is unknown)
            && ($.executionunits == null || $.executionunits.type() == "number"
                || ($.executionunits == null) is unknown)'
    ) IS TRUE
        AND (
            p_event - '{id,to,data,time,type,domain,source,subject,parentid,dataschema,redirectto,tracestate,specversion,traceparent,accesscontrol,executionunits,datacontenttype}'::text[] = '{}'
            OR left((p_event - '{id,to,data,time,type,domain,source,subject,parentid,dataschema,redirectto,tracestate,specversion,traceparent,accesscontrol,executionunits,datacontenttype}'::text[])::text, 4000)
                ~ '^[{](?:(?:, )?"[a-z0-9]+": (?:"[^"\\]*"|[-a-z0-9.]+))*[}]$'
        )
        AND (
            p_event ->> 'time' LIKE '____-__-__T__:__:__._%+__:__'
                AND translate(p_event ->> 'time', '0123456789', '') = '--T::.+:'
            OR p_event ->> 'time' LIKE '____-__-__T__:__:__._%Z'
                AND translate(p_event ->> 'time', '0123456789', '') = '--T::.Z'
            OR NOT p_event ? 'time'
        )
        AND pg_column_size(p_event || '{}') <= 4096
        AND length(coalesce(p_event ->> 'to', p_event ->> 'type')) <= 512
        AND coalesce(length(p_event ->> 'domain') <= 400, true)
        AND octet_length((p_event -> 'data')::text) <= 4000
        AND coalesce(length(p_event ->> 'executionunits') <= 4000, true)
    THEN
        RETURN NULL;
    END IF;
    IF p_event IS NULL OR jsonb_typeof(p_event) <> 'object' THEN
        RETURN 'event: must be a JSON object';
    END IF;
    -- Its size as stored says nothing: it may come compressed out of a table, and a number of nine
    -- characters may print as 131,072 digits.
    IF arvo.printed_size(p_event) > 1048576 THEN
        RETURN 'event: must not be larger than 1048576 bytes';
    END IF;
    -- What clients cannot read would stop the claims that hand it out: Python reads whole numbers of
    -- up to 4300 digits, and goes some 900 levels deep. The expression above lets in less of both.
    IF p_event @? 'strict $.** ? (@ >= 1e4000 || @ <= -1e4000)' THEN
        RETURN 'event: must not have numbers of more than 4000 digits';
    END IF;
    IF p_event @? '$.**{513 to last}' THEN
        RETURN 'event: must not be nested deeper than 512 levels';
    END IF;
    FOR v_key, v_value IN SELECT field.key, field.value FROM jsonb_each(p_event) AS field LOOP
        v_type := jsonb_typeof(v_value);
        CASE
            WHEN v_key IN ('id', 'source', 'subject', 'type', 'specversion', 'datacontenttype',
                           'time') THEN
                IF v_type <> 'string' OR v_value = '""' THEN
                    RETURN v_key || ': must be a text that is not empty';
                END IF;
            WHEN v_key = 'data' THEN
                IF v_type <> 'object' THEN
                    RETURN 'data: must be a JSON object';
                END IF;
            WHEN v_key = 'executionunits' THEN
                IF v_type NOT IN ('number', 'null') THEN
                    RETURN 'executionunits: must be a number or null';
                END IF;
            WHEN v_key IN ('to', 'domain', 'redirectto', 'accesscontrol', 'parentid', 'dataschema',
                           'traceparent', 'tracestate') THEN
                IF v_type NOT IN ('string', 'null') OR v_value = '""' THEN
                    RETURN v_key || ': must be a text that is not empty, or null';
                END IF;
            ELSE
                IF v_key !~ '^[a-z0-9]+$' THEN
                    RETURN left(to_json(v_key)::text, 80)
                        || ': names of extensions are lower-case letters and digits';
                END IF;
                IF v_type IN ('object', 'array') THEN
                    RETURN left(v_key, 80) || ': extensions are texts, numbers, booleans or null';
                END IF;
        END CASE;
    END LOOP;
    FOREACH v_key IN ARRAY ARRAY['id', 'source', 'type', 'subject', 'data'] LOOP
        IF NOT p_event ? v_key THEN
            RETURN v_key || ': is missing';
        END IF;
    END LOOP;
    IF p_event ->> 'specversion' <> '1.0' THEN
        RETURN 'specversion: must be 1.0';
    END IF;
    IF p_event ->> 'type' !~ '^[a-z0-9]+(\.[a-z0-9]+)+\.[a-z0-9]+$' THEN
        RETURN 'type: must be three or more dotted segments of lower-case letters and digits';
    END IF;
    IF p_event ->> 'time' !~ '^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)$' THEN
        RETURN 'time: must be an ISO 8601 time with its offset from UTC';
    END IF;
    IF p_event ->> 'domain' !~ '^[a-z0-9.]+$' OR length(p_event ->> 'domain') > 400 THEN
        RETURN 'domain: must be lower-case letters, digits and dots, at most 400';
    END IF;
    v_key := coalesce(p_event ->> 'to', p_event ->> 'type');
    IF NOT arvo.is_queue_name(v_key) THEN
        RETURN 'to: must be at most 512 characters of a URI, without quotes';
    END IF;
    RETURN NULL;
END;
$event_fault$;

COMMENT ON FUNCTION arvo.event_fault(jsonb) IS
'The first rule that an event breaks, as "field: rule"; NULL when it breaks none.';

REVOKE ALL ON FUNCTION arvo.event_fault(jsonb) FROM PUBLIC;
