-- arvo.pass_numbers(number) — use up transaction numbers of this cluster.
CREATE OR REPLACE FUNCTION arvo.pass_numbers(p_number bigint)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
AS $pass_numbers$
-- For arvo_v1.rebase, in a cluster so young that it has not given as many numbers as the order of a
-- backlog needs. Each subtransaction that writes takes one; what it writes is undone. Nearly always
-- there is nothing to do. Returns how many were used up.
--
--   Reads    pg_current_snapshot, arvo.clock
--   Writes   nothing that stays
--   Locks    nothing
--   Raises   nothing (RV901, and catches it)
DECLARE
    v_passed bigint := 0::bigint;
BEGIN
    WHILE pg_snapshot_xmax(pg_current_snapshot())::text::bigint <= p_number LOOP
        BEGIN
            INSERT INTO arvo.tombstone (lane, delivery, at) VALUES (0, 0, arvo.clock());
            RAISE EXCEPTION 'undone' USING ERRCODE = 'RV901';
        EXCEPTION
            WHEN SQLSTATE 'RV901' THEN
                v_passed := v_passed + 1;
        END;
    END LOOP;
    RETURN v_passed;
END;
$pass_numbers$;

COMMENT ON FUNCTION arvo.pass_numbers(bigint) IS
'Uses up transaction numbers until this cluster is past a number; returns how many.';

REVOKE ALL ON FUNCTION arvo.pass_numbers(bigint) FROM PUBLIC;
