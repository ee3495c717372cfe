#!/bin/sh
# Writes the dump of an installation to standard output: a database as the program of this working tree makes it, with
# the rows of rows.sql. DATABASE_URL names an empty database of a server as old as MinimumVersion, so that every server
# can read the dump. It is for the next time that migrations are put together: run it before, and keep what it writes
# beside the dumps that are here.
set -eu
cd "$(dirname "$0")"
go run ../../app migrate >&2
psql -X -q -1 -v ON_ERROR_STOP=1 -d "$DATABASE_URL" -f rows.sql
# Without comments, and without commands of psql and settings of its session, which a test does not have.
pg_dump --no-owner --no-privileges --inserts -d "$DATABASE_URL" |
  grep -vE '^(--|SET |\\|SELECT pg_catalog.set_config|$)'
