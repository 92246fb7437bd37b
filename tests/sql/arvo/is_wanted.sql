-- arvo.is_wanted(event, event_id, event_type, subjects, path, text): contract, stories.
BEGIN;
SELECT plan(23);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.is_wanted(jsonb,text,text,text[],jsonpath,text)',
    'boolean', 'plpgsql', 'immutable', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

CREATE TEMPORARY TABLE e AS SELECT pg_temp.event('1', 'a', '{"data": {"amount": 7, "open": false, "note": null}}') AS event;
SELECT ok(arvo.is_wanted(event), 'nothing asked: everything passes') FROM e;
SELECT ok(arvo.is_wanted(event, '1', 'com.test.event', '{x,order-1}', '$.data.amount', 'amount'), 'all that is asked fits') FROM e;
SELECT ok(NOT arvo.is_wanted(event, p_event_id => '2'), 'another id') FROM e;
SELECT ok(NOT arvo.is_wanted(event, p_event_type => 'com.test'), 'another type') FROM e;
SELECT ok(arvo.is_wanted(event, p_event_type => 'com.test.*'), 'types that begin so') FROM e;
SELECT ok(NOT arvo.is_wanted(event, p_event_type => 'org.*'), 'or do not') FROM e;
SELECT ok(NOT arvo.is_wanted(event, p_subjects => '{order-2}'), 'another subject') FROM e;
SELECT ok(NOT arvo.is_wanted(event, p_subjects => '{}'), 'no subject at all') FROM e;
SELECT ok(NOT arvo.is_wanted(event, p_text => 'AMOUNT'), 'a text is looked for as it is') FROM e;
SELECT ok(arvo.is_wanted(event, p_path => '$.data.amount > 5'), 'a condition that holds') FROM e;
SELECT ok(NOT arvo.is_wanted(event, p_path => '$.data.amount > 9'), 'or does not') FROM e;
SELECT ok(arvo.is_wanted(event, p_path => '$.data ? (@.amount > 5)'), 'a search that finds something') FROM e;
SELECT ok(NOT arvo.is_wanted(event, p_path => '$.data ? (@.amount > 9)'), 'or nothing') FROM e;
SELECT ok(NOT arvo.is_wanted(event, p_path => '$.data.open'), 'false is not found') FROM e;
SELECT ok(NOT arvo.is_wanted(event, p_path => '$.data.note'), 'nor is null') FROM e;
SELECT ok(NOT arvo.is_wanted(event, p_path => '$.data.amount.size() + "a"'), 'nor what makes no sense') FROM e;

SELECT * FROM finish();
ROLLBACK;
