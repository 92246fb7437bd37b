-- arvo.prune_lineage(digest) — forget the place of a workflow that is gone, and of ancestors that are.
CREATE OR REPLACE FUNCTION arvo.prune_lineage(p_digest bytea)
RETURNS integer
LANGUAGE plpgsql
VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $prune_lineage$
-- A workflow without a state from which nothing descends, then its parent if the same is true of that
-- one, and so on: places stay as long as somebody's root depends on them, also somebody whose first
-- write is still open: that holds the place of its parent. Returns how many went.
--
--   Reads    arvo.state
--   Writes   arvo.lineage
--   Locks    the arvo.lineage rows deleted; where somebody holds one, it ends
--   Raises   nothing
DECLARE
    v_digest bytea := p_digest;
    v_parent bytea;
    v_gone integer := 0;
BEGIN
    LOOP
        SELECT known.parent_digest INTO v_parent
        FROM arvo.lineage AS known
        WHERE known.subject_digest = v_digest
        AND NOT EXISTS (
            SELECT FROM arvo.lineage AS child WHERE child.parent_digest = v_digest
        )
        AND NOT EXISTS (SELECT FROM arvo.state WHERE state.subject_digest = v_digest)
        FOR UPDATE SKIP LOCKED;
        EXIT WHEN NOT FOUND;
        -- A statement of its own: it sees who has let go of the place since the last one began.
        DELETE FROM arvo.lineage
        WHERE lineage.subject_digest = v_digest
        AND NOT EXISTS (
            SELECT FROM arvo.lineage AS child WHERE child.parent_digest = v_digest
        )
        AND NOT EXISTS (SELECT FROM arvo.state WHERE state.subject_digest = v_digest);
        EXIT WHEN NOT FOUND;
        v_gone := v_gone + 1;
        v_digest := v_parent;
    END LOOP;
    RETURN v_gone;
END;
$prune_lineage$;

COMMENT ON FUNCTION arvo.prune_lineage(bytea) IS
'Forgets the place of a workflow that is gone, and of its ancestors that are gone and childless, too.';

REVOKE ALL ON FUNCTION arvo.prune_lineage(bytea) FROM PUBLIC;
