#!/bin/bash
# The part of the official image's entry point that compose.yaml uses.
set -Eeo pipefail
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    # shellcheck disable=SC2086 - a list of options
    initdb -D "$PGDATA" -U postgres --pwfile="$POSTGRES_PASSWORD_FILE" $POSTGRES_INITDB_ARGS
    echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
    echo "listen_addresses = '*'" >> "$PGDATA/postgresql.conf"
    pg_ctl -D "$PGDATA" -o "-c listen_addresses=" -w start
    for file in /docker-entrypoint-initdb.d/*.sh; do
        if [ -x "$file" ]; then "$file"; else . "$file"; fi
    done
    pg_ctl -D "$PGDATA" -m fast -w stop
fi
exec "$@"
