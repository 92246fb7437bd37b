-- The rules of the house, over every schema of ours: each test lists who breaks one, and expects nobody.
BEGIN;
SELECT plan(20);

CREATE TEMPORARY VIEW our_schema AS
SELECT n.oid, n.nspname AS name, n.nspowner AS owner
FROM pg_namespace AS n
WHERE n.nspname ~ '^arvo(_v[0-9]+)?$';

CREATE TEMPORARY VIEW our_function AS
SELECT p.*, s.name || '.' || p.proname AS name, s.name AS schema
FROM pg_proc AS p
JOIN our_schema AS s ON s.oid = p.pronamespace;

-- Relations with the bookkeeping of yoyo, which makes its own tables, left out.
CREATE TEMPORARY VIEW our_relation AS
SELECT c.*, s.name || '.' || c.relname AS name, s.name AS schema
FROM pg_class AS c
JOIN our_schema AS s ON s.oid = c.relnamespace
WHERE c.relname !~ '^(_yoyo_|yoyo_)';

CREATE TEMPORARY VIEW our_column AS
SELECT a.attrelid, a.attnum, a.atttypid, a.atttypmod, a.attacl, r.name || '.' || a.attname AS name
FROM pg_attribute AS a
JOIN our_relation AS r ON r.oid = a.attrelid
WHERE a.attnum > 0 AND NOT a.attisdropped
  AND r.relkind IN ('r', 'p', 'v', 'm', 'c') AND NOT r.relispartition;

SELECT isnt_empty('SELECT name FROM our_function', 'there are functions to judge');

-- functions -------------------------------------------------------------------------------------

SELECT is_empty(
    $$ SELECT name FROM our_function
       WHERE NOT coalesce('search_path=pg_catalog, pg_temp' = ANY (proconfig), false) $$,
    'every function sets search_path = pg_catalog, pg_temp'
);
SELECT is_empty(
    $$ SELECT name FROM our_function WHERE obj_description(oid, 'pg_proc') IS NULL $$,
    'every function has a comment'
);
SELECT is_empty(
    $$ SELECT f.name
       FROM our_function AS f
       CROSS JOIN LATERAL aclexplode(coalesce(f.proacl, acldefault('f', f.proowner))) AS a
       WHERE a.grantee = 0 $$,
    'PUBLIC may execute no function'
);
SELECT is_empty(
    $$ SELECT f.name, a.grantee::regrole
       FROM our_function AS f
       CROSS JOIN LATERAL aclexplode(coalesce(f.proacl, acldefault('f', f.proowner))) AS a
       WHERE f.schema = 'arvo' AND a.grantee <> f.proowner $$,
    'a private function is granted to nobody'
);
SELECT is_empty(
    $$ SELECT name FROM our_function GROUP BY name HAVING count(*) > 1 $$,
    'no function is overloaded'
);
SELECT is_empty(
    $$ SELECT name FROM our_function WHERE prosecdef <> (schema <> 'arvo') $$,
    'SECURITY DEFINER is every function of a contract, and no other'
);
SELECT is_empty(
    $$ SELECT name FROM our_function
       WHERE EXISTS (SELECT FROM unnest(proargnames) AS argument
                     WHERE argument <> '' AND argument !~ '^p_') $$,
    'every argument is named p_…'
);
SELECT is_empty(
    $$ SELECT name FROM our_function WHERE prosrc ~* '\mexecute\M' $$,
    'no function executes text as SQL'
);

-- owners and privileges -------------------------------------------------------------------------

SELECT is_empty(
    $$ SELECT name FROM our_function WHERE proowner <> 'arvo_owner'::regrole
       UNION ALL
       SELECT name FROM our_relation WHERE relowner <> 'arvo_owner'::regrole AND relkind <> 'i'
       UNION ALL
       SELECT name::text FROM our_schema WHERE owner <> 'arvo_owner'::regrole $$,
    'everything belongs to arvo_owner'
);
SELECT is(
    (SELECT rolcanlogin OR rolsuper OR rolcreaterole OR rolcreatedb OR rolbypassrls
     FROM pg_roles WHERE rolname = 'arvo_owner'),
    false,
    'arvo_owner cannot log in and is nobody special'
);
SELECT is_empty(
    $$ SELECT r.name, a.grantee::regrole, a.privilege_type
       FROM our_relation AS r
       CROSS JOIN LATERAL aclexplode(r.relacl) AS a
       WHERE r.relkind IN ('r', 'p', 'v', 'm', 'S') AND a.grantee <> r.relowner $$,
    'nobody but the owner has a privilege on a table, view or sequence'
);
SELECT is_empty(
    $$ SELECT c.name, a.grantee::regrole
       FROM our_column AS c
       CROSS JOIN LATERAL aclexplode(c.attacl) AS a $$,
    'nobody has a privilege on a column'
);
SELECT is_empty(
    $$ SELECT s.name, a.grantee, a.privilege_type
       FROM our_schema AS s
       JOIN pg_namespace AS n ON n.oid = s.oid
       CROSS JOIN LATERAL aclexplode(n.nspacl) AS a
       WHERE a.grantee <> n.nspowner
         AND (s.name = 'arvo' OR a.grantee = 0 OR a.privilege_type <> 'USAGE') $$,
    'others may only use a contract, and nobody enters schema arvo'
);

-- tables ----------------------------------------------------------------------------------------

SELECT is_empty(
    $$ SELECT name FROM our_relation
       WHERE relkind IN ('r', 'p', 'v', 'm') AND NOT relispartition
         AND obj_description(oid, 'pg_class') IS NULL
       UNION ALL
       SELECT r.name FROM our_relation AS r
       WHERE r.relkind = 'c' AND obj_description(r.reltype, 'pg_type') IS NULL $$,
    'every table, view and row type has a comment'
);
SELECT is_empty(
    $$ SELECT name FROM our_column WHERE col_description(attrelid, attnum) IS NULL $$,
    'every column and attribute has a comment'
);
SELECT is_empty(
    $$ SELECT name, format_type(atttypid, atttypmod) FROM our_column
       WHERE atttypid IN (
           'varchar'::regtype, 'char(1)'::regtype, 'timestamp'::regtype, 'time'::regtype,
           'timetz'::regtype, 'money'::regtype, 'json'::regtype
       ) $$,
    'no varchar, no time without its zone, no json, no money'
);
SELECT is_empty(
    $$ SELECT k.conrelid::regclass, k.conname
       FROM pg_constraint AS k
       JOIN our_relation AS r ON r.oid = k.conrelid
       WHERE k.contype = 'f' AND k.conparentid = 0
         AND NOT EXISTS (
             SELECT FROM pg_index AS i
             WHERE i.indrelid = k.conrelid AND i.indpred IS NULL AND i.indisvalid
               AND (i.indkey::int2[])[0:cardinality(k.conkey) - 1] @> k.conkey
         ) $$,
    'every foreign key is indexed'
);
SELECT is_empty(
    $$ SELECT t.tgrelid::regclass, t.tgname
       FROM pg_trigger AS t
       JOIN our_relation AS r ON r.oid = t.tgrelid
       WHERE NOT t.tgisinternal
       UNION ALL
       SELECT w.ev_class::regclass, w.rulename
       FROM pg_rewrite AS w
       JOIN our_relation AS r ON r.oid = w.ev_class
       WHERE w.rulename <> '_RETURN' $$,
    'there is no trigger and no rule'
);
SELECT is_empty(
    $$ SELECT r.name FROM our_relation AS r
       WHERE r.schema <> 'arvo' AND r.relkind NOT IN ('c') $$,
    'a contract holds functions and row types, no data'
);

SELECT * FROM finish();
ROLLBACK;
