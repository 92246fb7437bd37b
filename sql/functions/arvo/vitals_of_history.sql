-- arvo.vitals_of_history() — what keeps old history from being emptied.
CREATE OR REPLACE FUNCTION arvo.vitals_of_history()
RETURNS SETOF arvo_v1.vital
LANGUAGE sql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $vitals_of_history$
-- Which slot is in use and since when; then what keeps older ones from being emptied. That is a notice:
-- nothing is lost by it, but the space is not given back.
--
--   Reads    arvo.generation, arvo.clock; as arvo.generation_pins
--   Writes   nothing
--   Locks    nothing
--   Raises   nothing
(SELECT
    'history', 'ok', newest.number::text,
    format('Slot %s is in use, for %s.', newest.slot, arvo.clock() - newest.opened_at), NULL
FROM arvo.generation AS newest
ORDER BY newest.number DESC
LIMIT 1)
UNION ALL
SELECT
    'history',
    'notice',
    pin.generation::text,
    format(
        'Generation %s is not emptied: %s, queue %s, delivery %s, since %s.', pin.generation,
        pin.kind, coalesce(left(to_json(pin.queue)::text, 80), '-'), pin.delivery, pin.at
    ),
    'Let its queue be worked off, or purge it; what waits longer than its retention becomes a dead letter.'
FROM arvo.generation_pins(5) AS pin;
$vitals_of_history$;

COMMENT ON FUNCTION arvo.vitals_of_history() IS
'What keeps old generations of log, lease and closure from being emptied.';

REVOKE ALL ON FUNCTION arvo.vitals_of_history() FROM PUBLIC;
