-- arvo.subject_digest(subject): contract, stories.
BEGIN;
SELECT plan(13);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.subject_digest(text)',
    'bytea', 'plpgsql', 'immutable', false,
    'nobody'
);

-- stories ---------------------------------------------------------------------------------------

SELECT is(
    arvo.subject_digest('abc'),
    '\xba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'::bytea,
    'it is SHA-256, of the published test vector'
);
SELECT is(
    arvo.subject_digest(''),
    '\xe3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'::bytea,
    'also of an empty text'
);
SELECT is(
    arvo.subject_digest('ü'), sha256('\xc3bc'::bytea), 'of the text in UTF-8'
);
SELECT isnt(
    arvo.subject_digest(repeat('s', 20000) || 'a'), arvo.subject_digest(repeat('s', 20000) || 'b'),
    'of a long subject every character counts'
);
SELECT is(
    octet_length(arvo.subject_digest(repeat('s', 200000))), 32, 'it is 32 bytes, however long the subject'
);
SELECT is(arvo.subject_digest(NULL), NULL, 'nothing has none');

SELECT * FROM finish();
ROLLBACK;
