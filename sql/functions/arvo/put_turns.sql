-- arvo.put_turns(queue, turns) — write the new states of some keys.
CREATE OR REPLACE FUNCTION arvo.put_turns(p_queue arvo.queue, p_turns arvo.turn[])
RETURNS void
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $put_turns$
-- The number of each is that of the row which it replaces; NULL for none. What replaces it has a
-- higher number, and look-ups begin at the highest: however many dead rows a held snapshot keeps, none
-- is met. A key that has somebody waiting and room for them goes to the
-- end of the line of keys to be served.
--
--   Reads    arvo.clock
--   Writes   arvo.turn, arvo.ready; as arvo.wake
--   Locks    nothing; the caller holds the queue's home lane
--   Raises   nothing
DECLARE
    v_now timestamptz := arvo.clock();
    v_known boolean;
    v_new boolean;
    v_line boolean;
    v_readied bigint;
BEGIN
    SELECT
        bool_or(turn.number IS NOT NULL),
        bool_or(turn.number IS NULL),
        bool_or(turn.waiting > 0 AND NOT turn.ready)
    INTO v_known, v_new, v_line
    FROM unnest(p_turns) AS turn;

    IF v_line THEN
        WITH given AS MATERIALIZED (
            SELECT
                turn.*,
                nextval('arvo.turn_number'::regclass) AS next_number,
                CASE
                    WHEN turn.waiting > 0 AND NOT turn.ready
                        THEN arvo.key_room(p_queue, turn) > 0
                    ELSE false
                END AS readied
            FROM unnest(p_turns) AS turn
        ),

        written AS (
            INSERT INTO arvo.turn (
                queue, key, number, active, waiting, upto, holder, ready, tally, at
            )
            SELECT
                given.queue, given.key, given.next_number, given.active, given.waiting, given.upto,
                given.holder, given.ready OR given.readied, given.tally, v_now
            FROM given
        ),

        served AS (
            INSERT INTO arvo.ready (queue, number, key)
            SELECT given.queue, given.next_number, given.key
            FROM given
            WHERE given.readied
            ORDER BY given.next_number
            RETURNING ready.key
        ),

        replaced AS (
            DELETE FROM arvo.turn AS gone
            USING given
            WHERE gone.queue = given.queue AND gone.key = given.key AND gone.number = given.number
        )

        SELECT count(*) INTO v_readied FROM served;
        IF v_readied > 0 THEN
            PERFORM arvo.wake(ARRAY[p_queue.name]);
        END IF;
        RETURN;
    END IF;

    IF v_known THEN
        UPDATE arvo.turn
        SET number = nextval('arvo.turn_number'::regclass),
            active = given.active,
            waiting = given.waiting,
            upto = given.upto,
            holder = given.holder,
            ready = given.ready,
            tally = given.tally,
            at = v_now
        FROM (
            -- By its address: no plan can read more than the rows that are meant.
            SELECT
                state.*,
                (
                    SELECT replaced.ctid
                    FROM arvo.turn AS replaced
                    WHERE replaced.queue = p_queue.queue
                    AND replaced.key = state.key
                    AND replaced.number = state.number
                ) AS address
            FROM unnest(p_turns) AS state
            OFFSET 0
        ) AS given
        WHERE turn.ctid = given.address;
    END IF;
    IF v_new THEN
        INSERT INTO arvo.turn (
            queue, key, number, active, waiting, upto, holder, ready, tally, at
        )
        SELECT
            turn.queue, turn.key, nextval('arvo.turn_number'::regclass), turn.active, turn.waiting,
            turn.upto, turn.holder, turn.ready, turn.tally, v_now
        FROM unnest(p_turns) AS turn
        WHERE turn.number IS NULL;
    END IF;
END;
$put_turns$;

COMMENT ON FUNCTION arvo.put_turns(arvo.queue, arvo.turn[]) IS
'Replaces the states of some keys, and has those served that somebody waits for and that have room.';

REVOKE ALL ON FUNCTION arvo.put_turns(arvo.queue, arvo.turn[]) FROM PUBLIC;
