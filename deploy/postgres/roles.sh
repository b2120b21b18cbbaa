#!/bin/sh
# The roles of deploy/secrets.sh. Postgres runs it once, when its volume is empty. For a volume that is older, and for new passwords:
#   docker compose exec postgres sh /docker-entrypoint-initdb.d/roles.sh
#
# tallybook            owns the database: migrations, and the aggregator, which makes and drops partitions
# tallybook_service    the HTTP service: reads, and writes down when a key was used
# tallybook_dashboard  Grafana: reads minutes of clicks
set -e
# The superuser: `tallybook` where a former version made the volume.
superuser=postgres
psql -X -q --username postgres --dbname postgres -c '' 2> /dev/null || superuser=tallybook
psql -X -q -v ON_ERROR_STOP=1 --username $superuser --dbname postgres -f /run/secrets/postgres_roles
