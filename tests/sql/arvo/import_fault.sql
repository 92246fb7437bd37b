-- arvo.import_fault(row): contract, table of rows.
BEGIN;
SELECT plan(27);
\ir ../given.psql

-- contract --------------------------------------------------------------------------------------

SELECT * FROM pg_temp.contract(
    'arvo.import_fault(jsonb)',
    'text', 'plpgsql', 'stable', false,
    'nobody'
);

-- rows ------------------------------------------------------------------------------------------

SELECT is(arvo.import_fault(row), fault, coalesce(row::text, 'NULL'))
FROM (
    VALUES
    ('{"subject": "a", "data": {}, "version": 1}'::jsonb, NULL::text),
    ('{"subject": "a", "data": {"subject": "a"}, "version": "7", "updated_at": "2030-01-01T00:00:00Z"}', NULL),
    ('{"subject": "a", "parent_subject": "b"}', NULL),
    ('{"subject": "a", "locked_for": 0.5}', NULL),
    (NULL, 'row: it is null, not an object'),
    ('[]', 'row: it is array, not an object'),
    ('{}', 'subject: it is null'),
    ('{"subject": null}', 'subject: it is null'),
    ('{"subject": ""}', 'subject: it is ""'),
    ('{"subject": 7}', 'subject: it is 7'),
    ('{"subject": "a"}', 'row: it has no state, no place in a tree and no lock'),
    ('{"subject": "a", "data": null, "version": 3}', 'row: it has no state, no place in a tree and no lock'),
    ('{"subject": "a", "data": [1], "version": 3}', 'data: it is array, not an object'),
    ('{"subject": "a", "data": "x", "version": 3}', 'data: it is string, not an object'),
    ('{"subject": "a", "data": {"subject": "b"}, "version": 3}', 'foreign: the record is that of "b"'),
    ('{"subject": "a", "data": {}}', 'version: it is null'),
    ('{"subject": "a", "data": {}, "version": 0}', 'version: it is 0'),
    ('{"subject": "a", "data": {}, "version": 1.5}', 'version: invalid input syntax for type bigint: "1.5"'),
    ('{"subject": "a", "data": {}, "version": 1, "created_at": "soon"}',
     'time: invalid input syntax for type timestamp with time zone: "soon"'),
    ('{"subject": "a", "data": {}, "version": 1, "locked_for": "long"}',
     'time: invalid input syntax for type double precision: "long"')
) AS given (row, fault);

SELECT * FROM finish();
ROLLBACK;
