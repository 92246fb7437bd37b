-- emitting
-- depends: 0007.before.lean-log

SET LOCAL ROLE arvo_owner;
SET LOCAL lock_timeout = '5s';
SET LOCAL check_function_bodies = off;  -- blocks may refer to later blocks

--! function arvo.close_one
-- arvo.close_one(results) — complete one delivery, with its state and its events.
CREATE OR REPLACE FUNCTION arvo.close_one(p_results jsonb)
RETURNS arvo_v1.settled
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $close_one$
-- What arvo_v1.settle does, in a third of its time, for what comes most where little comes: one result
-- that completes one delivery, with or without a state and events, of a queue that gives no places,
-- leased in the partition in use; of a gated queue only when it was leased alone. One statement, under
-- the lease's lock, finds all that is to be known. Whatever turns out not to be so, or not to be right,
-- is answered with NULLs, and nothing has been written: the caller looks at it closely.
--
--   Reads    arvo.lease and arvo.closure by token, arvo.lane, arvo.queue, arvo.queue_guard,
--            arvo.dead, arvo.clock, arvo.slot
--   Writes   arvo.closure; as arvo.put_state, arvo.place, arvo.pass_turns and arvo.emit
--   Locks    the lease; then as arvo.put_state and arvo.place; then the home lane of a gated queue;
--            then as arvo.emit
--   Raises   as arvo.emit
DECLARE
    v_item jsonb := p_results -> 0;
    v_lease bigint;
    v_delivery bigint;
    v_run_time integer;
    v_events jsonb := nullif(v_item -> 'events', 'null');
    v_state jsonb := nullif(v_item -> 'state', 'null');
    v_slot smallint;
    v_held record;
    v_version bigint;
BEGIN
    IF jsonb_typeof(p_results) <> 'array'
        OR jsonb_array_length(p_results) <> 1
        OR jsonb_typeof(v_item) <> 'object'
        OR v_item ->> 'outcome' IS DISTINCT FROM 'completed'
        OR v_item ->> 'after' IS NOT NULL
        OR v_item ->> 'lease' IS NULL
        OR v_item ->> 'lease' !~ '^[0-9]{1,18}$'
    THEN
        RETURN NULL;
    END IF;
    v_lease := (v_item ->> 'lease')::bigint;
    IF v_item ->> 'delivery' ~ '^[0-9]{1,18}$' AND v_item ->> 'deliveries' IS NULL THEN
        v_delivery := (v_item ->> 'delivery')::bigint;
        v_run_time := CASE
            WHEN v_item ->> 'run_time' ~ '^[0-9]{1,10}$'
                THEN least((v_item ->> 'run_time')::bigint, 2147483647)::integer
        END;
    ELSIF v_item ->> 'deliveries' ~ '^\[[0-9]{1,18}\]$'
        AND v_item ->> 'delivery' IS NULL
        AND v_item ->> 'error' IS NULL
        AND coalesce(v_events, '[]') = '[]'
        AND v_state IS NULL
        AND coalesce(v_item ->> 'run_times' ~ '^\[(null|[0-9]{1,9})\]$', true)
    THEN
        v_delivery := (v_item #>> '{deliveries,0}')::bigint;
        v_run_time := (v_item #>> '{run_times,0}')::integer;
    ELSE
        RETURN NULL;
    END IF;
    IF v_events IS NOT NULL THEN
        IF jsonb_typeof(v_events) <> 'array' THEN
            RETURN NULL;
        END IF;
        FOR v_at IN 0 .. jsonb_array_length(v_events) - 1 LOOP
            IF arvo.event_fault(v_events -> v_at) IS NOT NULL THEN
                RETURN NULL;
            END IF;
        END LOOP;
    END IF;
    IF v_state IS NOT NULL AND (
        jsonb_typeof(v_state) <> 'object'
        OR jsonb_typeof(v_state -> 'subject') IS DISTINCT FROM 'string'
        OR v_state ->> 'subject' = ''
        OR jsonb_typeof(v_state -> 'data') IS DISTINCT FROM 'object'
        OR (v_state ->> 'expected_version' ~ '^[0-9]{1,18}$') IS NOT TRUE
        OR arvo.json_fault(v_state -> 'data', 67108864) IS NOT NULL
    ) THEN
        RETURN NULL;
    END IF;

    PERFORM pg_advisory_xact_lock(arvo.lease_key(v_lease));
    v_slot := arvo.slot();
    -- A statement of its own: it must see what the last holder of the lock committed. A lease whose
    -- newest row stands in the slot in use has its closures since then there as well.
    SELECT
        newest.lane,
        newest.keys[1] AS key,
        newest.places[1] AS place,
        holder AS queue,
        holder.gated,
        holder.guarded,
        CASE
            WHEN v_events <> '[]' THEN EXISTS (
                SELECT FROM arvo.queue_guard AS guard WHERE guard.may = 'dispatch'
            )
            ELSE false  -- of NULL AND the second half is asked as well
        END AS barring,
        CASE
            WHEN holder.gated THEN (
                SELECT min(own.lane)
                FROM arvo.lane AS own
                WHERE own.queue = holder.queue AND NOT own.retired
            )
        END AS home
    INTO v_held
    FROM (
        SELECT lease.lane, lease.deliveries, lease.keys, lease.places
        FROM arvo.lease
        WHERE lease.token = v_lease AND lease.token <> 0 AND lease.slot = v_slot
        ORDER BY lease.number DESC
        LIMIT 1
    ) AS newest
    INNER JOIN arvo.lane ON lane.lane = newest.lane
    INNER JOIN arvo.queue AS holder ON holder.queue = lane.queue
    WHERE v_delivery = ANY (newest.deliveries)
    AND NOT holder.slotted
    AND CASE
        WHEN NOT holder.gated THEN newest.keys IS NULL
        ELSE cardinality(newest.deliveries) = 1
            AND newest.keys[1] IS NOT NULL
            AND (newest.places IS NULL OR holder.policy = 'ordered')
    END
    AND NOT EXISTS (
        SELECT
        FROM arvo.closure
        WHERE closure.token = v_lease
        AND closure.slot = v_slot
        AND v_delivery = ANY (closure.deliveries)
    )
    AND NOT EXISTS (
        SELECT
        FROM arvo.dead
        WHERE dead.dead_letter_lane = newest.lane
        AND dead.dead_letter_delivery = v_delivery
        AND dead.resolution IS NULL
    );
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    IF (v_held.guarded AND NOT arvo.may((v_held.queue).name, 'consume'))
        OR (v_held.barring AND arvo.barred_to(v_events) IS NOT NULL)
    THEN
        RETURN NULL;
    END IF;

    IF v_state IS NOT NULL THEN
        v_version := arvo.put_state(
            v_state ->> 'subject',
            v_state -> 'data',
            (v_state ->> 'expected_version')::bigint,
            v_state ->> 'initiator',
            v_state ->> 'source'
        );
        IF v_version IS NULL THEN
            RETURN NULL;
        ELSIF v_version = 1 THEN
            PERFORM arvo.place(
                ARRAY[v_state ->> 'subject'], ARRAY[v_state ->> 'parent_subject']
            );
        END IF;
    END IF;
    IF v_held.gated THEN
        PERFORM pg_advisory_xact_lock(hashtext('arvo'), v_held.home);
    END IF;
    INSERT INTO arvo.closure (slot, token, at, deliveries, outcomes, run_times)
    VALUES (
        v_slot, v_lease, arvo.clock(), ARRAY[v_delivery], '{completed}', ARRAY[v_run_time]
    );
    IF v_held.gated THEN
        PERFORM arvo.pass_turns(
            v_held.queue,
            ARRAY[(
                1, v_lease, v_delivery, 'completed', NULL, NULL, NULL, NULL, v_run_time, v_held.lane,
                NULL, NULL, NULL, NULL, NULL, v_version, NULL, v_held.key, v_held.place, NULL, 1
            )::arvo.result]
        );
    END IF;

    IF v_events <> '[]' THEN
        PERFORM arvo.emit(ARRAY(SELECT jsonb_array_elements(v_events)));
    END IF;
    RETURN (1, v_lease, v_delivery, true, 'completed', NULL, NULL, v_version)::arvo_v1.settled;
END;
$close_one$;

COMMENT ON FUNCTION arvo.close_one(jsonb) IS
'Completes one delivery with its state and events; answers no lease when that takes a closer look.';

REVOKE ALL ON FUNCTION arvo.close_one(jsonb) FROM PUBLIC;
--! end

--! function arvo.emit
-- arvo.emit(events) — accept what a settlement emits, by the plainest way that takes it.
CREATE OR REPLACE FUNCTION arvo.emit(p_events jsonb[])
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $emit$
-- The events have been checked by the caller, also against what is closed to it. One goes by
-- arvo.append_one, several by arvo.append_plain; what these leave alone goes by arvo.append, all of it.
-- Emitted events are not looked up as duplicates, for a settlement happens once.
--
--   Reads    as arvo.append_one, arvo.append_plain or arvo.append
--   Writes   as arvo.append_one, arvo.append_plain or arvo.append
--   Locks    as arvo.append
--   Raises   as arvo.append
DECLARE
    v_alone arvo_v1.dispatched;
BEGIN
    IF cardinality(p_events) = 1 THEN
        v_alone := arvo.append_one(p_events[1], false, true);
        IF v_alone.delivery IS NOT NULL THEN
            RETURN;
        END IF;
    ELSE
        PERFORM FROM arvo.append_plain(p_events, false, true);
        IF FOUND THEN
            RETURN;
        END IF;
    END IF;
    PERFORM FROM arvo.append(p_events, NULL, false, true, p_asking => true);
END;
$emit$;

COMMENT ON FUNCTION arvo.emit(jsonb[]) IS
'Appends the events that a settlement emits, in order.';

REVOKE ALL ON FUNCTION arvo.emit(jsonb[]) FROM PUBLIC;
--! end

--! function arvo.event_fault
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
--! end

--! function arvo.let_in
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
--! end

--! function arvo.settle_rest
-- arvo.settle_rest(parted) — settle what arvo.close_plain has left, one by one.
CREATE OR REPLACE FUNCTION arvo.settle_rest(p_parted arvo.parted)
RETURNS SETOF arvo_v1.settled
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $settle_rest$
-- The verdicts of all, those that arvo.close_plain has closed included. The caller holds the leases'
-- locks. Rules are in arvo_v1.settle.
--
--   Reads    arvo.lease and arvo.closure by token, arvo.lane, arvo.queue, arvo.queue_guard, arvo.clock,
--            arvo.slot
--   Writes   arvo.closure, arvo.dead; as arvo.put_states, arvo.give_back, arvo.pass_on and arvo.emit
--   Locks    as arvo.put_states; then as arvo.hold_homes; then as arvo.give_back and arvo.emit
--   Raises   as arvo.give_back and arvo.emit
DECLARE
    v_now timestamptz := arvo.clock();
    v_items arvo.result[];
    v_events jsonb[];
    v_at integer;
    v_fault text;
    v_queue arvo.queue;
    v_lane integer;
    v_emitting boolean;
    v_ordered boolean;
    v_writing boolean;
    v_failing boolean;
    v_bound boolean;
BEGIN
    IF p_parted.rest <> '[]' THEN
        SELECT array_agg(item ORDER BY item.ordinal) INTO v_items
        FROM arvo.read_results(p_parted.rest) AS item;
    END IF;
    IF v_items IS NULL THEN
        RETURN QUERY SELECT verdict.* FROM arvo.verdicts(p_parted, v_items) AS verdict;
        RETURN;
    END IF;

    -- A statement of its own: it must see what the last holder of the leases' locks committed.
    v_items := arvo.judge_results(v_items);

    -- Most results are plain: what none of them asks for is left out.
    SELECT
        bool_or(item.verdict IS NULL AND item.events <> '[]'),
        bool_or(item.place IS NOT NULL),
        bool_or(item.verdict IS NULL AND item.state IS NOT NULL),
        bool_or(item.verdict IS NULL AND item.asked <> 'completed')
    INTO v_emitting, v_ordered, v_writing, v_failing
    FROM unnest(v_items) AS item;

    IF v_emitting THEN
        v_events := ARRAY(
            SELECT jsonb_array_elements(item.events)
            FROM unnest(v_items) AS item
            WHERE item.verdict IS NULL
        );
        -- For fewer it takes longer to set up than to look at each.
        IF cardinality(v_events) < 8 OR arvo.let_in(v_events) IS NOT TRUE THEN
            FOR v_at, v_fault IN
                SELECT DISTINCT ON (item.ordinal) item.ordinal, looked.fault
                FROM unnest(v_items) AS item
                CROSS JOIN LATERAL jsonb_array_elements(item.events) WITH ORDINALITY
                    AS emitted (event, ordinal)
                CROSS JOIN LATERAL (SELECT arvo.event_fault(emitted.event) AS fault OFFSET 0) AS looked
                WHERE item.verdict IS NULL AND looked.fault IS NOT NULL
                ORDER BY item.ordinal, emitted.ordinal
            LOOP
                v_items[v_at].verdict := 'refused';
                v_items[v_at].code := 'RV001';
                v_items[v_at].detail := 'emitted event: ' || v_fault;
            END LOOP;
        END IF;
    END IF;

    IF EXISTS (
        SELECT FROM arvo.queue_guard AS guard WHERE guard.may IN ('dispatch', 'consume')
    ) THEN
        v_items := arvo.bar_results(v_items);
    END IF;

    IF v_ordered THEN
        v_items := arvo.order_results(v_items);
    END IF;

    IF v_writing THEN
        v_items := arvo.put_states(v_items);
    END IF;

    v_bound := arvo.hold_homes(v_items);

    IF v_failing
        OR (v_writing AND (cardinality(v_items) > 1 OR v_items[1].verdict = 'conflict'))
    THEN
        FOR v_at IN
            SELECT item.ordinal
            FROM unnest(v_items) AS item
            WHERE (item.verdict IS NULL AND item.asked <> 'completed') OR item.verdict = 'conflict'
            ORDER BY item.ordinal
        LOOP
            IF v_lane IS DISTINCT FROM v_items[v_at].lane THEN
                v_lane := v_items[v_at].lane;
                SELECT queue.* INTO STRICT v_queue
                FROM arvo.lane
                INNER JOIN arvo.queue ON queue.queue = lane.queue
                WHERE lane.lane = v_lane;
            END IF;
            v_items[v_at] := arvo.give_back(v_items[v_at], v_queue);
        END LOOP;
    END IF;

    INSERT INTO arvo.closure (slot, token, at, deliveries, outcomes, run_times)
    SELECT
        arvo.slot(),
        item.lease,
        v_now,
        array_agg(item.delivery ORDER BY item.ordinal),
        CASE
            WHEN count(DISTINCT coalesce(item.verdict, 'completed')) = 1
                THEN ARRAY[min(coalesce(item.verdict, 'completed'))]
            ELSE array_agg(coalesce(item.verdict, 'completed') ORDER BY item.ordinal)
        END,
        array_agg(item.run_time ORDER BY item.ordinal)
    FROM unnest(v_items) AS item
    WHERE item.verdict IS NULL OR item.verdict NOT IN ('refused', 'already')
    GROUP BY item.lease;

    IF v_bound THEN
        PERFORM arvo.pass_on(v_items);
    END IF;

    UPDATE arvo.dead
    SET resolution = 'consumed', resolved_at = v_now, resolved_by = session_user
    FROM unnest(v_items) AS item
    WHERE item.verdict IS NULL
    AND dead.dead_letter_lane = item.lane
    AND dead.dead_letter_delivery = item.delivery
    AND dead.resolution IS NULL;

    IF v_emitting THEN
        SELECT array_agg(emitted.event ORDER BY item.ordinal, emitted.ordinal) INTO v_events
        FROM unnest(v_items) AS item
        CROSS JOIN LATERAL
            jsonb_array_elements(item.events) WITH ORDINALITY AS emitted (event, ordinal)
        WHERE item.verdict IS NULL;
        IF v_events IS NOT NULL THEN
            PERFORM arvo.emit(v_events);
        END IF;
    END IF;

    RETURN QUERY SELECT verdict.* FROM arvo.verdicts(p_parted, v_items) AS verdict;
END;
$settle_rest$;

COMMENT ON FUNCTION arvo.settle_rest(arvo.parted) IS
'Settles the results that are not plainly completed, and gives the verdicts of all.';

REVOKE ALL ON FUNCTION arvo.settle_rest(arvo.parted) FROM PUBLIC;
--! end

--! function arvo_v1.settle
-- arvo_v1.settle(results) — finish any number of deliveries, in one transaction.
CREATE OR REPLACE FUNCTION arvo_v1.settle(p_results jsonb)
RETURNS SETOF arvo_v1.settled
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $settle$
-- p_results is an array of objects:
--
--   lease, delivery   as claimed (numbers, or texts of digits)
--   outcome           completed, failed, released, snoozed or rejected
--   events            completed: array of events to emit
--   state             completed: {"subject", "data", "expected_version" and, for a first write,
--                     "parent_subject", "initiator", "source"}
--   error             failed, rejected: {"name", "message", "stack"}
--   after             failed, snoozed: seconds until the next attempt
--   run_time          microseconds that the handler ran
--
-- An item may also name several deliveries of its lease, all completed, without events or state:
--
--   deliveries        array of those deliveries; it stands for as many items in that order
--   run_times         array with a run_time for each, or null; may be left out
--
-- Each delivery gets its own verdict, with the place of its item; a refused one changes nothing and
-- spoils no other. What is plainly completed costs next to nothing (arvo.close_plain), one that is
-- completed by itself a third (arvo.close_one):
--
--   RV001  an emitted event is not valid           RV006  the item is malformed
--   RV007  the queue, or that of an emitted event, is closed to the caller
--   RV101  the state had moved on: the delivery goes back at once, uncharged
--   RV301  the lease is not, or no longer, the caller's
--   RV303  an earlier delivery of its ordered key is still open
--
-- An item settled before under the same lease is answered "already" (not accepted, with code RV101,
-- if it ended in a conflict then). States, emitted events,
-- retries, dead letters and the journal are written together.
--
--   Reads    as arvo.close_one, arvo.close_plain and arvo.settle_rest
--   Writes   as arvo.close_one, arvo.close_plain and arvo.settle_rest
--   Locks    the leases, in order of their tokens; then as arvo.settle_rest
--   Raises   RV005  the transaction is not READ COMMITTED
--            RV006  p_results is not an array, or names more than 10000 deliveries
--            RV902  the stored transaction numbers are of another cluster
DECLARE
    v_parted arvo.parted;
    v_one arvo_v1.settled;
BEGIN
    PERFORM arvo.require_read_committed('settle');
    PERFORM arvo.require_home();
    v_one := arvo.close_one(p_results);
    IF v_one.lease IS NOT NULL THEN
        RETURN NEXT v_one;
        RETURN;
    END IF;
    v_parted := arvo.close_plain(p_results);
    RETURN QUERY SELECT verdict.* FROM arvo.settle_rest(v_parted) AS verdict;
END;
$settle$;

COMMENT ON FUNCTION arvo_v1.settle(jsonb) IS
'Finishes deliveries: journals, writes states, emits events, retries or buries, all in one transaction.';

REVOKE ALL ON FUNCTION arvo_v1.settle(jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.settle(jsonb) TO arvo_worker;
--! end

--! function arvo_v1.work
-- arvo_v1.work(results, queues, limit, worker, limits, lease) — settle, then claim: one round trip, one commit.
CREATE OR REPLACE FUNCTION arvo_v1.work(
    p_results jsonb DEFAULT '[]',
    p_queues text[] DEFAULT NULL,
    p_limit integer DEFAULT 1,
    p_worker text DEFAULT NULL,
    p_limits integer[] DEFAULT NULL,
    p_lease interval DEFAULT interval '30 seconds'
)
RETURNS SETOF arvo_v1.worked
LANGUAGE plpgsql
VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '2s'
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $work$
-- Answers, in this order: verdicts of kind "settled" (only those that are not plainly completed),
-- deliveries of kind "claimed", and one row of kind "idle" when nothing was claimed, which says when
-- something deferred becomes due, or a lease of another worker may have lapsed: at once, if this very
-- call appended something to these queues, and soon, if another session was claiming where there is
-- something to claim.
-- Nothing is claimed when p_queues is NULL or p_limit is 0.
--
--   Reads    as arvo_v1.settle, arvo.take and arvo_v1.claim; as arvo.has_own, arvo.next_due,
--            arvo.next_room and arvo.next_lapse
--   Writes   as arvo_v1.settle, and arvo.take or arvo_v1.claim
--   Locks    as arvo_v1.settle, then as arvo_v1.claim (which waits for none)
--   Raises   as arvo_v1.settle and arvo_v1.claim
--            55P03  somebody has held a lock for two seconds: settle the results one by one
DECLARE
    v_claiming boolean := p_queues IS NOT NULL AND p_limit IS DISTINCT FROM 0;
    v_parted arvo.parted;
    v_asked arvo.claimable;
    v_ahead arvo.ahead;
    v_all arvo.leased[];
    v_busy boolean;
    v_leased arvo.leased;
BEGIN
    IF v_claiming OR p_results IS DISTINCT FROM '[]' THEN
        PERFORM arvo.require_read_committed('work');
        PERFORM arvo.require_home();
    END IF;
    IF p_results IS DISTINCT FROM '[]' THEN
        IF (arvo.close_one(p_results)).lease IS NULL THEN
            v_parted := arvo.close_plain(p_results);
        END IF;
        IF v_parted.items <> '{}' THEN
            -- If a single one is left: as if it had come alone.
            IF (arvo.close_one(v_parted.rest)).lease IS NOT NULL THEN
                v_parted.rest := '[]';
            END IF;
        END IF;
        IF v_parted.rest <> '[]' THEN
            RETURN QUERY
            SELECT
                'settled',
                verdict.lease,
                verdict.delivery,
                verdict.outcome,
                verdict.code,
                verdict.detail,
                NULL::text,
                NULL::integer,
                NULL::interval,
                NULL::jsonb,
                NULL::jsonb,
                NULL::jsonb,
                verdict.state_version,
                NULL::interval,
                NULL::bigint
            FROM arvo.settle_rest(v_parted) WITH ORDINALITY AS verdict
            WHERE verdict.outcome <> 'completed'
            ORDER BY verdict.ordinality;
        END IF;
    END IF;
    IF NOT v_claiming THEN
        RETURN;
    END IF;

    -- Nearly always that is all. Otherwise it has done nothing.
    RETURN QUERY
    SELECT taken.* FROM arvo.take(p_queues, p_limit, p_worker, p_limits, p_lease) AS taken;
    IF FOUND THEN
        RETURN;
    END IF;
    v_asked := arvo.lanes_to_claim(p_queues, p_limit, p_limits, p_lease);
    v_ahead := arvo.look_ahead();
    IF v_ahead.due THEN
        PERFORM arvo.promote();
    END IF;
    v_all := arvo.claim_lanes(v_asked, p_limit, p_worker, p_limits, p_lease);
    v_busy := v_all IS NULL;
    IF v_busy THEN
        v_all := '{}';
    END IF;
    FOREACH v_leased IN ARRAY v_all LOOP
        IF v_leased.rows IS NULL THEN
            RETURN QUERY
            SELECT
                'claimed',
                claimed.lease,
                claimed.delivery,
                NULL::text,
                NULL::text,
                NULL::text,
                claimed.queue,
                claimed.attempt,
                claimed.expire_in,
                claimed.event,
                claimed.cause,
                claimed.state,
                claimed.state_version,
                NULL::interval,
                claimed.key
            FROM arvo.hand_out(v_leased.queue, v_leased.lease, v_leased.batch) AS claimed;
        ELSE
            RETURN QUERY
            SELECT
                'claimed',
                claimed.lease,
                claimed.delivery,
                NULL::text,
                NULL::text,
                NULL::text,
                claimed.queue,
                claimed.attempt,
                claimed.expire_in,
                claimed.event,
                claimed.cause,
                claimed.state,
                claimed.state_version,
                NULL::interval,
                claimed.key
            FROM unnest(v_leased.rows) AS claimed;
        END IF;
    END LOOP;
    IF cardinality(v_all) = 0 THEN
        RETURN NEXT (
            'idle', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
            CASE
                WHEN pg_current_xact_id_if_assigned() IS NOT NULL AND arvo.has_own(p_queues)
                    THEN interval '0'
                ELSE least(
                    CASE WHEN v_busy THEN interval '10 milliseconds' END,
                    CASE
                        WHEN v_ahead.due THEN arvo.next_due()
                        WHEN v_ahead.next_at IS NOT NULL
                            THEN greatest(v_ahead.next_at - arvo.clock(), interval '0')
                    END,
                    CASE WHEN v_asked.limited THEN arvo.next_room(p_queues) END,
                    arvo.next_lapse(v_asked.lanes)
                )
            END,
            NULL
        )::arvo_v1.worked;
    END IF;
END;
$work$;

COMMENT ON FUNCTION arvo_v1.work(jsonb, text[], integer, text, integer[], interval) IS
'Settles results and claims the next deliveries, in one round trip and one commit.';

REVOKE ALL ON FUNCTION arvo_v1.work(jsonb, text[], integer, text, integer[], interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION arvo_v1.work(jsonb, text[], integer, text, integer[], interval)
TO arvo_worker;
--! end

INSERT INTO arvo.revision (number, name, oldest_client, applied_at)
VALUES (8, '0008.before.emitting', 1, clock_timestamp());
