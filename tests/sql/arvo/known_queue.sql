-- arvo.known_queue(name, parameter): contract, stories, refusals.
BEGIN;
SELECT plan(10);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.known_queue(text,text)',
    'arvo.queue', 'plpgsql', 'stable', false,
    'nobody',
    ARRAY[
        'search_path=pg_catalog, pg_temp',
        'enable_seqscan=off'
    ]
);

-- stories ---------------------------------------------------------------------------------------

SET LOCAL arvo.frozen_clock = '2030-01-01T00:00:00Z';
DO $$ BEGIN PERFORM arvo_v1.register_queue('a', p_retry_limit => 7); END; $$;
SELECT is((arvo.known_queue('a')).retry_limit, 7, 'the queue, whole');

-- refusals --------------------------------------------------------------------------------------

SELECT is(
    pg_temp.raised($$ SELECT arvo.known_queue('nobody') $$), 'RV003 | queue is not known | queue | queue: "nobody"', 'a name that nobody has used'
);
SELECT is(
    pg_temp.raised($$ SELECT arvo.known_queue(NULL, 'to') $$), 'RV003 | queue is not known | to | queue: ', 'none, and the parameter that it came by'
);

SELECT * FROM finish();
ROLLBACK;
