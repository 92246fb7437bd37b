-- arvo.fresh_subject(id, type, source, domain, redirectto, dataschema): contract, stories.
--
-- tests/python/client/test_scheduling.py reads such subjects with the reader of the package.
BEGIN;
SELECT plan(14);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.fresh_subject(text,text,text,text,text,text)',
    'text', 'plpgsql', 'immutable', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

-- The text inside: behind the header and the sizes, before the checksum.
CREATE FUNCTION pg_temp.text_in(p_subject text) RETURNS text
LANGUAGE sql AS $$
    SELECT convert_from(substring(packed FROM 8 FOR length(packed) - 11), 'UTF8') FROM decode(p_subject, 'base64') AS packed
$$;
SELECT is(
    pg_temp.text_in(arvo.fresh_subject('id-1', 'arvo.orc.order', 'com.test.shop', NULL, NULL, NULL)),
    '{"orchestrator":{"name":"arvo.orc.order","version":"0.0.0"},'
    '"execution":{"id":"id-1","initiator":"com.test.shop","domain":null},"meta":{}}',
    'who runs it, which run it is, who began it'
);
SELECT is(
    pg_temp.text_in(arvo.fresh_subject('id"1', 'arvo.orc.order', 'com.test.shop', 'north', 'com.test.desk', '#/orders/1.2.3')),
    '{"orchestrator":{"name":"arvo.orc.order","version":"1.2.3"},'
    '"execution":{"id":"id\"1","initiator":"com.test.shop","domain":"north"},"meta":{"redirectto":"com.test.desk"}}',
    'its version, its domain, where its completion goes'
);
SELECT is(
    left(encode(decode(arvo.fresh_subject('id-1', 'arvo.orc.order', 'com.test.shop', NULL, NULL, NULL), 'base64'), 'hex'), 14),
    '7801018a0075ff', 'a zlib stream of one stored block of 138 bytes'
);
SELECT is(
    right(encode(decode(arvo.fresh_subject('id-1', 'arvo.orc.order', 'com.test.shop', NULL, NULL, NULL), 'base64'), 'hex'), 8),
    'a44e2e72', 'and its checksum'
);
SELECT unalike(
    arvo.fresh_subject(repeat('i', 300), 'arvo.orc.order', 'com.test.shop', NULL, NULL, NULL), E'%\n%', 'on one line'
);
SELECT is(arvo.fresh_subject('id-1', 'com.test.tick', '/shop', NULL, NULL, NULL), 'id-1', 'a source that can begin no workflow');
SELECT is(
    arvo.fresh_subject('id-1', 'com.test.tick', 'com.test.shop', NULL, repeat('x', 70000), NULL), 'id-1', 'what is too long for a subject'
);

SELECT * FROM finish();
ROLLBACK;
