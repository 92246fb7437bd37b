-- arvo.frontier_of(previous, snapshot, last, exhausted): contract, stories.
BEGIN;
SELECT plan(13);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.frontier_of(pg_snapshot,pg_snapshot,xid8,bigint,boolean)',
    'arvo.frontier', 'plpgsql', 'immutable', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

CREATE FUNCTION pg_temp.told(
    p_previous pg_snapshot, p_snapshot pg_snapshot, p_xid xid8, p_delivery bigint, p_exhausted boolean
) RETURNS text
LANGUAGE sql AS $$
    SELECT format('late %s, behind %s/%s; from %s/%s', array(SELECT unnest(late) ORDER BY 1), last_xid, last_delivery, from_xid, from_delivery)
    FROM arvo.frontier_of(p_previous, p_snapshot, p_xid, p_delivery, p_exhausted)
$$;
SELECT is(
    pg_temp.told('10:20:12,15', '12:30:12,25', '29', 7, true), 'late {12,25}, behind 0/0; from 30/0',
    'a window that was read to its end: what its snapshot lists as open, and everything newer'
);
SELECT is(
    pg_temp.told('10:20:12,15', '12:30:12,25', '22', 7, false), 'late {12}, behind 22/7; from 22/7',
    'a position in it: everything behind that, and older ones that the window does not see'
);
SELECT is(
    pg_temp.told('10:20:12,15', '12:30:12,25', '26', 7, false), 'late {12,25}, behind 26/7; from 26/7',
    'among them those that it jumped over'
);
SELECT is(
    pg_temp.told('10:20:12,15', '12:30:12,25', '0', 0, false), 'late {12,15}, behind 0/0; from 20/0',
    'at its beginning: late ones of the snapshot before, and everything since that'
);
SELECT is(
    pg_temp.told('10:20:12,15,17', '12:30:12,25', '15', 7, false), 'late {12,15,17}, behind 15/7; from 20/0',
    'in the middle of the late ones: the rest of the one, and those after it'
);
SELECT is(
    pg_temp.told('1:1:', '1:1:', '0', 0, true), 'late {}, behind 0/0; from 1/0', 'a lane that was never read: everything'
);

SELECT * FROM finish();
ROLLBACK;
