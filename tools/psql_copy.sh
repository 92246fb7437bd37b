#!/bin/sh
# psql on a copy of the database PGDATABASE, dropped afterwards: what prove.py hands to pg_prove, so that
# test files that run side by side cannot wait for each other's locks. ARVO_PSQL is the real psql.
set -eu
original=$PGDATABASE
own="${original}_$$"
admin() {
    PGDATABASE=postgres PGOPTIONS= "$ARVO_PSQL" --no-psqlrc --quiet --command "$1"
}
admin "CREATE DATABASE \"$own\" TEMPLATE \"$original\" STRATEGY file_copy"
trap 'admin "DROP DATABASE IF EXISTS \"$own\" WITH (FORCE)"' EXIT
trap 'exit 143' HUP INT TERM
PGDATABASE=$own "$ARVO_PSQL" "$@"
