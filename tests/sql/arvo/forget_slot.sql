-- arvo.forget_slot(slot): contract, stories.
BEGIN;
SELECT plan(9);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.forget_slot(smallint)',
    'void', 'sql', 'volatile', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SET arvo.frozen_clock = '2030-01-01T00:00:00Z';
DO $$
BEGIN
    PERFORM arvo_v1.register_queue('a');
    PERFORM arvo_v1.dispatch(pg_temp.event('1', 'a'));
END;
$$;
COMMIT AND CHAIN;
SELECT arvo.tally_lanes() \gset
UPDATE arvo.tally SET kept = '{5,6,7,8}';
SELECT arvo.forget_slot(2::smallint) \gset
SELECT is((SELECT kept FROM arvo.tally), '{5,6,0,8}', 'of that slot nothing is kept');
SELECT arvo.forget_slot(0::smallint) \gset
SELECT is((SELECT kept FROM arvo.tally), '{0,6,0,8}', 'the first is slot 0');

SELECT * FROM finish();
ROLLBACK;
