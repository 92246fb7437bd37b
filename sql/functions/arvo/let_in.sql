-- arvo.let_in(events) — whether one look at many events finds nothing wrong with them.
CREATE OR REPLACE FUNCTION arvo.let_in(p_events jsonb[])
RETURNS boolean
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $let_in$
-- The first expression of arvo.event_fault, for many events in one statement, and in half of its time.
-- True: no event breaks a rule. False: one may, and the caller asks arvo.event_fault of each. It must
-- not be true of what arvo.event_fault refuses.
--
-- A regular expression costs most in its first characters, while its automaton is built. So times,
-- types, destinations and extensions are written one below the other, four lines for each event, and
-- read at once. There must be four times as many ends of lines as events, and every event must have a
-- type, for without one it has no lines: then no end of a line is within an attribute. Extensions are
-- let in when they are texts that JSON writes as they are, numbers, booleans or null.
-- Attributes without a value are compared, all eight of them, in one piece. What prints in 4000 bytes
-- has no number of more digits.
--
--   Reads    nothing
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
DECLARE
    v_good boolean;
    v_lines text;
BEGIN
    SELECT
        bool_and((
            (
                item.plain
                OR item.rest @@ 'strict
                    ($.domain == null || $.domain like_regex "^[a-z0-9.]+$" || ($.domain == null) is unknown)
                    && ($.accesscontrol == null || $.accesscontrol > "" || ($.accesscontrol == null) is unknown)
                    && ($.redirectto == null || $.redirectto > "" || ($.redirectto == null) is unknown)
                    && ($.dataschema == null || $.dataschema > "" || ($.dataschema == null) is unknown)
                    && ($.parentid == null || $.parentid > "" || ($.parentid == null) is unknown)
                    && ($.traceparent == null || $.traceparent > "" || ($.traceparent == null) is unknown)
                    && ($.tracestate == null || $.tracestate > "" || ($.tracestate == null) is unknown)
                    && ($.executionunits == null || $.executionunits.type() == "number"
                        || ($.executionunits == null) is unknown)'
                AND coalesce(length(item.rest ->> 'domain') <= 400, true)
                AND octet_length(item.rest::text) <= 4000
            )
            AND pg_column_size(item.event || '{}') <= 4096
            AND octet_length((item.event -> 'data')::text) <= 4000
            AND octet_length(coalesce(item.event ->> 'to', item.event ->> 'type')) <= 512
        ) IS TRUE),
        string_agg(
            coalesce(item.event ->> 'time', '') || E'\n' || (item.event ->> 'type') || E'\n'
            || coalesce(item.event ->> 'to', '') || E'\n'
            || CASE
                WHEN item.plain THEN E'\n'
                ELSE
                    (item.rest - '{domain,parentid,dataschema,redirectto,tracestate,traceparent,accesscontrol,executionunits}'::text[])::text
                    || E'\n'
            END,
            ''
        )
    INTO v_good, v_lines
    FROM (
        SELECT
            looked.event,
            looked.rest,
            looked.rest IN (
                '{}',
                '{"domain": null, "parentid": null, "dataschema": null, "redirectto": null, "tracestate": null,
                  "traceparent": null, "accesscontrol": null, "executionunits": null}'
            ) AS plain
        FROM (
            SELECT
                given.event,
                -- Nothing can be taken from what is no object.
                CASE
                    WHEN given.event @@ 'strict $.id > "" && $.source > "" && $.subject > ""
                        && $.type > ""
                        && $.data.type() == "object"
                        && ($.to > "" || $.to == null || ($.to == null) is unknown)
                        && ($.time > "" || ($.time == null) is unknown)
                        && ($.specversion == "1.0" || ($.specversion == null) is unknown)
                        && ($.datacontenttype > "" || ($.datacontenttype == null) is unknown)'
                        THEN given.event - '{id,to,data,time,type,source,subject,specversion,datacontenttype}'::text[]
                END AS rest
            -- In the list of what is selected unnest keeps no copy of the events.
            FROM (SELECT unnest(p_events) AS event) AS given
            OFFSET 0  -- each is worked out once
        ) AS looked
        OFFSET 0
    ) AS item;
    RETURN v_good
        AND octet_length(v_lines) - octet_length(replace(v_lines, E'\n', ''))
        = 4 * cardinality(p_events)
        AND v_lines ~ (
            '^(?:'
            '(?:[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}[.][0-9]+(?:[+][0-9]{2}:[0-9]{2}|Z))?\n'
            '[a-z0-9]+(?:[.][a-z0-9]+)+[.][a-z0-9]+\n'
            '[A-Za-z0-9._~:/?#@!$&()+,;=%-]*\n'
            '(?:[{](?:(?:, )?"[a-z0-9]+": (?:"[^"\\]*"|[-a-z0-9.]+))*[}])?\n'
            ')*$'
        );
END;
$let_in$;

COMMENT ON FUNCTION arvo.let_in(jsonb[]) IS
'Whether one look at many events finds that none breaks a rule; false: look at each.';

REVOKE ALL ON FUNCTION arvo.let_in(jsonb[]) FROM PUBLIC;
