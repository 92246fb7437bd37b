-- What is wrong with the rooms, in words; no rows when nothing is.
WITH newest AS MATERIALIZED (
    SELECT DISTINCT ON (token) * FROM arvo.lease WHERE token <> 0 ORDER BY token, number DESC
),
held AS MATERIALIZED (
    SELECT newest.token, newest.lane, newest.leased_at, newest.carried, taken.delivery, taken.key
    FROM newest
    CROSS JOIN LATERAL unnest(newest.deliveries, newest.keys) AS taken (delivery, key)
    WHERE NOT EXISTS (
        SELECT FROM arvo.closure
        WHERE closure.token = newest.token AND taken.delivery = ANY (closure.deliveries)
    )
),
ended AS MATERIALIZED (
    SELECT gone.delivery, closure.outcomes[least(gone.n, cardinality(closure.outcomes))] AS outcome
    FROM arvo.closure
    CROSS JOIN LATERAL unnest(closure.deliveries) WITH ORDINALITY AS gone (delivery, n)
),
turn AS MATERIALIZED (
    SELECT DISTINCT ON (queue, key) * FROM arvo.turn ORDER BY queue, key, number DESC
)
SELECT format('delivery %s is held under %s leases', delivery, count(*))
FROM held GROUP BY delivery HAVING count(*) > 1
UNION ALL
SELECT format('delivery %s ended %s times', delivery, count(*))
FROM ended WHERE outcome IN ('completed', 'dead', 'cancelled', 'moved') GROUP BY delivery HAVING count(*) > 1
UNION ALL
SELECT format('delivery %s is held, and has ended as %s', held.delivery, ended.outcome)
FROM held INNER JOIN ended USING (delivery) WHERE ended.outcome IN ('completed', 'dead', 'cancelled', 'moved')
UNION ALL
SELECT format('queue %s: %s leased, %s counted', named.name, count(held), coalesce(max(turn.active), 0))
FROM arvo.queue AS named
LEFT JOIN arvo.lane USING (queue)
LEFT JOIN held ON held.lane = lane.lane
LEFT JOIN turn ON turn.queue = named.queue AND turn.key = 0
WHERE named.gated GROUP BY named.name HAVING count(held) <> coalesce(max(turn.active), 0)
UNION ALL
SELECT format('queue %s, key %s: %s parked, %s counted', turn.queue, turn.key, count(parked), turn.waiting)
FROM turn
INNER JOIN arvo.queue AS named ON named.queue = turn.queue AND named.gated
LEFT JOIN arvo.parked ON parked.queue = turn.queue AND parked.key = turn.key
GROUP BY turn.queue, turn.key, turn.waiting HAVING count(parked) <> turn.waiting
UNION ALL
SELECT format('more run in queue %s than its max_active %s: %s', named.name, named.max_active, count(*))
FROM held INNER JOIN arvo.lane USING (lane) INNER JOIN arvo.queue AS named USING (queue)
-- what ran already when the limit was lowered goes on
GROUP BY named.name, named.max_active, named.changed_at
HAVING count(*) > named.max_active AND min(held.leased_at) > named.changed_at AND NOT bool_or(held.carried)
UNION ALL
SELECT format('%s of an ordered key of queue %s run side by side', count(*), named.name)
FROM held INNER JOIN arvo.lane USING (lane) INNER JOIN arvo.queue AS named USING (queue)
WHERE named.policy = 'ordered' GROUP BY named.name, held.token, held.key
HAVING count(DISTINCT held.token) > 1
UNION ALL
SELECT format('event %s of delivery %s is larger than it may be', log.event ->> 'id', log.delivery)
FROM arvo.log WHERE octet_length(log.event::text) > 1048576 + 100
UNION ALL
SELECT format('queue %s has a name that cannot be', name) FROM arvo.queue WHERE NOT arvo.is_queue_name(name)
UNION ALL
SELECT format('%s lanes of priority %s of queue %s are in use', count(*), priority, queue)
FROM arvo.lane WHERE NOT retired GROUP BY queue, priority HAVING count(*) > 1
UNION ALL
SELECT format('state of %s has no lineage', subject) FROM arvo.state
WHERE NOT EXISTS (SELECT FROM arvo.lineage WHERE lineage.subject_digest = state.subject_digest)
