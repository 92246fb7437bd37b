-- The rules of the house, over every schema of ours: each test lists who breaks one, and expects nobody.
BEGIN;
SELECT plan(33);

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

-- A definer function runs as the owner: whatever it looks up must not be the caller's choice.
SELECT is_empty(
    $$ SELECT f.name FROM our_function AS f
       CROSS JOIN LATERAL regexp_replace(f.prosrc, '--[^\n]*|set_config\(''synchronous_commit'', ''off'', true\)', '', 'g') AS code
       WHERE code ~* '\m(set_config|set\s+(local|session|role|search_path))\M' $$,
    'no function changes a setting on the way, but that of waiting for the disk'
);
SELECT is_empty(
    $$ SELECT name FROM our_function
       WHERE prosrc ~* '\m(dblink\w*|query_to_xml\w*|table_to_xml\w*|lo_import|lo_export|pg_read\w*file|pg_ls_dir)\s*\(' $$,
    'no function runs SQL out of a text by another way, or reads files'
);
SELECT is_empty(
    $$ SELECT name, cast_to[1] FROM our_function
       CROSS JOIN LATERAL regexp_matches(prosrc, 'p_[a-z_]+::(reg[a-z]+)', 'g') AS cast_to $$,
    'no argument is read as the name of a table, a function or a role'
);
SELECT is_empty(
    $$ SELECT name FROM our_function
       WHERE prosecdef AND EXISTS (
           SELECT FROM unnest(proargtypes) AS argument
           INNER JOIN pg_type ON pg_type.oid = argument
           WHERE pg_type.typtype = 'p' OR pg_type.typcategory = 'P' OR pg_type.typname ~ '^reg'
       ) $$,
    'no function of a contract takes a pseudo-type or the name of an object'
);
SELECT is_empty(
    $$ SELECT name, l.lanname FROM our_function
       INNER JOIN pg_language AS l ON l.oid = prolang
       WHERE l.lanname NOT IN ('sql', 'plpgsql') $$,
    'functions are SQL or PL/pgSQL'
);
SELECT is_empty(
    $$ SELECT name FROM our_function WHERE proleakproof OR provariadic <> 0 OR prokind <> 'f' $$,
    'no function is leakproof, variadic, a procedure or an aggregate'
);
SELECT is_empty(
    $$ SELECT p.oid::regprocedure FROM pg_proc AS p
       INNER JOIN pg_namespace AS n ON n.oid = p.pronamespace
       WHERE p.prosecdef AND p.proowner = 'arvo_owner'::regrole AND n.nspname !~ '^arvo_v[0-9]+$' $$,
    'the owner lends its rights by functions of a contract only'
);
SELECT is_empty(
    $$ SELECT o.oprname::text FROM pg_operator AS o INNER JOIN our_schema AS s ON s.oid = o.oprnamespace
       UNION ALL
       SELECT format('cast to %s', c.casttarget::regtype) FROM pg_cast AS c
       INNER JOIN our_function AS f ON f.oid = c.castfunc $$,
    'there are no operators and casts of ours'
);

-- What operators do is written down: every function of theirs that changes something says so itself, but for
-- those that everybody calls as a matter of course.
SELECT is_empty(
    $$ SELECT name FROM our_function
       WHERE prosecdef AND provolatile = 'v'
       AND has_function_privilege('arvo_operator', oid, 'EXECUTE')
       AND prosrc !~ 'arvo\.note_operation\(' $$
    || $$ AND proname <> ALL ('{dispatch,dispatch_many,dispatch_copy,publish,maintain}')
          AND prosrc ~* '--   Writes   (?!nothing)' $$,
    'every function of operators that writes, writes the audit'
);
SELECT is_empty(
    $$ SELECT name FROM our_function
       WHERE prosecdef AND prosrc ~ 'arvo\.note_operation\('
       AND NOT prosrc ~ format('''%s'',', proname) $$,
    'and names itself in it'
);
-- Rights on queues are asked for by everything that takes the name of one.
SELECT is_empty(
    $$ SELECT name FROM our_function
       WHERE prosecdef AND provolatile = 'v'
       AND proargnames && '{p_queue,p_queues,p_to}'
       AND proname <> ALL ('{work,look,claim,doze,rouse,check_in,check_out,queue_stats,explain_delivery,health}')
       AND prosrc !~ 'arvo\.(require_right|require_dispatch|hold_guards)\(' $$,
    'whoever names a queue is asked whether he may'
);
SELECT is_empty(
    $$ SELECT r.rolname FROM pg_roles AS r
       WHERE r.rolname ~ '^arvo_(owner|client|worker|operator|monitor)$'
       AND (r.rolcanlogin OR r.rolsuper OR r.rolcreaterole OR r.rolcreatedb OR r.rolbypassrls OR r.rolreplication) $$,
    'no role of ours can log in or is anybody special'
);
SELECT is_empty(
    $$ SELECT m.roleid::regrole, m.member::regrole FROM pg_auth_members AS m
       WHERE m.roleid::regrole::text ~ '^(pg_|arvo_owner$)' AND m.member::regrole::text ~ '^arvo_(owner|client|worker|operator|monitor)$'
       OR m.member::regrole::text ~ '^arvo_(client|worker|operator|monitor)$' AND m.roleid::regrole::text ~ '^arvo_' $$,
    'and none has the rights of another'
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
