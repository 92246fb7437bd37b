-- arvo.vitals_of_history() — what keeps history for longer than it was asked for.
CREATE OR REPLACE FUNCTION arvo.vitals_of_history()
RETURNS SETOF arvo_v1.vital
LANGUAGE sql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $vitals_of_history$
-- Which slot is in use and since when; then whether some queue looks for duplicates further back than
-- delete_after, and what keeps older slots from being emptied. Those are notices: nothing is lost by
-- it, but the space is not given back.
--
--   Reads    arvo.generation, arvo.queue, arvo.clock, arvo.delete_after; as arvo.generation_pins
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
(SELECT
    'history',
    'notice',
    queue.deduplicate_for::text,
    format(
        'History is kept for %s and longer, not for %s (delete_after): so far back does queue %s look for duplicates.',
        queue.deduplicate_for, arvo.delete_after(), left(to_json(queue.name)::text, 80)
    ),
    'Register it with a deduplicate_for that is no longer than delete_after, where the space is needed.'
FROM arvo.queue
WHERE queue.deduplicate_for > arvo.delete_after()
ORDER BY queue.deduplicate_for DESC, queue.name
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
'Which generation of log, lease and closure is in use, and what keeps older ones for longer than was asked for.';

REVOKE ALL ON FUNCTION arvo.vitals_of_history() FROM PUBLIC;
