-- arvo.is_unclaimed(head, xid, delivery): contract, stories.
BEGIN;
SELECT plan(23);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.is_unclaimed(arvo.lease,xid8,bigint)',
    'boolean', 'sql', 'stable', false,
    'nobody'
);

-- The window between 100 (when 90 and 95 were open) and 200 (when 95 and 150 were open), read up to
-- transaction 120, delivery 7; and the same window read to its end.
CREATE FUNCTION pg_temp.unclaimed(p_xid xid8, p_delivery bigint, p_exhausted boolean DEFAULT false) RETURNS boolean
LANGUAGE sql AS $$
    SELECT arvo.is_unclaimed(
        jsonb_populate_record(NULL::arvo.lease, jsonb_build_object(
            'previous_snapshot', '90:100:90,95', 'snapshot', '95:200:95,150',
            'last_xid', '120', 'last_delivery', 7, 'exhausted', p_exhausted
        )),
        p_xid, p_delivery
    )
$$;

-- stories ---------------------------------------------------------------------------------------

SELECT is(pg_temp.unclaimed('80', 1), false, 'what the older snapshot saw is claimed');
SELECT is(pg_temp.unclaimed('99', 99), false, 'up to its end');
SELECT is(pg_temp.unclaimed('90', 99), false, 'what came late into the window, before the position, is claimed');
SELECT is(pg_temp.unclaimed('95', 1), true, 'what is open in both is not');
SELECT is(pg_temp.unclaimed('100', 99), false, 'the first transaction of the window, before the position, is');
SELECT is(pg_temp.unclaimed('120', 7), false, 'the position itself is');
SELECT is(pg_temp.unclaimed('120', 8), true, 'the next delivery of its transaction is not');
SELECT is(pg_temp.unclaimed('121', 1), true, 'nor the next transaction');
SELECT is(pg_temp.unclaimed('150', 1), true, 'nor what is open in the newer snapshot');
SELECT is(pg_temp.unclaimed('199', 1), true, 'nor the end of the window');
SELECT is(pg_temp.unclaimed('200', 1), true, 'nor what comes behind it');

SELECT is(pg_temp.unclaimed('199', 1, true), false, 'read to its end, all of the window is claimed');
SELECT is(pg_temp.unclaimed('121', 1, true), false, 'whatever the position');
SELECT is(pg_temp.unclaimed('150', 1, true), true, 'but not what was open then');
SELECT is(pg_temp.unclaimed('95', 1, true), true, 'nor what is open ever since');
SELECT is(pg_temp.unclaimed('200', 1, true), true, 'nor what comes behind it');

SELECT * FROM finish();
ROLLBACK;
