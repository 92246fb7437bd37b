-- arvo.is_time_zone(time_zone): contract, stories.
BEGIN;
SELECT plan(12);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.is_time_zone(text)',
    'boolean', 'plpgsql', 'stable', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SELECT is(arvo.is_time_zone('UTC'), true, 'UTC');
SELECT is(arvo.is_time_zone('Europe/Berlin'), true, 'a place');
SELECT is(arvo.is_time_zone('Europe/Atlantis'), false, 'a place that is not there any more');
SELECT is(arvo.is_time_zone(''), false, 'nothing');
COMMIT AND CHAIN;
SELECT arvo.is_time_zone('Europe/Atlantis') AS known, pg_current_xact_id_if_assigned() IS NULL AS none \gset
SELECT is(:'known' || :'none', 'ft', 'finding out takes no transaction number');

SELECT * FROM finish();
ROLLBACK;
