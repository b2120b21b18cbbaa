#!/bin/sh
# Make the secrets that compose.yaml mounts, once: `sh deploy/secrets.sh`. What is there already is kept.
#
# The folder is closed to other users of the host. The files in it are readable by all, because each container reads them
# under a user id of its own.
set -eu
cd "$(dirname "$0")"
umask 077
mkdir -p secrets
# The folder comes with a clone, open to all: closed before anything is in it.
chmod 0700 secrets
cd secrets

random() {
    od -An -N24 -tx1 /dev/urandom | tr -d ' \n'
}
sha256() {
    printf '%s' "$(cat "$1")" | sha256sum | cut -d' ' -f1
}

# Postgres of former versions has the owner's password as its only one.
[ ! -e database_url ] || [ -e postgres_owner_password ] || cp postgres_password postgres_owner_password

for name in postgres postgres_owner postgres_service postgres_dashboard redis clickhouse clickhouse_grafana grafana; do
    [ -e "${name}_password" ] || random > "${name}_password"
done

[ -e database_url ] ||
    printf 'postgresql://tallybook:%s@postgres:5432/tallybook' "$(cat postgres_owner_password)" > database_url
[ -e database_service_url ] ||
    printf 'postgresql://tallybook_service:%s@postgres:5432/tallybook' "$(cat postgres_service_password)" > database_service_url
[ -e postgres_roles.sql ] || cat > postgres_roles.sql <<END
SELECT 'CREATE ROLE ' || name FROM unnest(ARRAY['tallybook', 'tallybook_service', 'tallybook_dashboard']) AS name
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \\gexec
ALTER ROLE tallybook LOGIN NOCREATEDB NOCREATEROLE PASSWORD '$(cat postgres_owner_password)';
ALTER ROLE tallybook_service LOGIN PASSWORD '$(cat postgres_service_password)';
ALTER ROLE tallybook_dashboard LOGIN CONNECTION LIMIT 10 PASSWORD '$(cat postgres_dashboard_password)';
ALTER ROLE tallybook_dashboard SET default_transaction_read_only = on;
ALTER ROLE tallybook_dashboard SET statement_timeout = '30s';
SELECT 'CREATE DATABASE tallybook OWNER tallybook' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'tallybook') \\gexec
REVOKE ALL ON DATABASE tallybook FROM PUBLIC;
GRANT CONNECT ON DATABASE tallybook TO tallybook_service, tallybook_dashboard;
END

[ -e redis_url ] || printf 'redis://tallybook:%s@redis:6379/0' "$(cat redis_password)" > redis_url
[ -e redis_users.acl ] ||
    printf 'user default on nopass resetkeys resetchannels -@all +ping\nuser tallybook on #%s ~* &* +@all\n' \
        "$(sha256 redis_password)" > redis_users.acl

[ -e clickhouse_url ] ||
    printf 'http://tallybook:%s@clickhouse:8123/tallybook' "$(cat clickhouse_password)" > clickhouse_url
[ -e clickhouse_users.xml ] ||
    printf '<clickhouse><users><default remove="1"/><tallybook><password_sha256_hex>%s</password_sha256_hex>%s</tallybook></users></clickhouse>' \
        "$(sha256 clickhouse_password)" \
        '<networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota>' > clickhouse_users.xml
# Grafana sees the sums of page views, and nothing else: no visitors, no addresses, no way to write.
[ -e clickhouse_grafana.xml ] ||
    printf '<clickhouse><profiles><grafana>%s</grafana></profiles><users><grafana><password_sha256_hex>%s</password_sha256_hex>%s%s</grafana></users></clickhouse>' \
        '<readonly>2</readonly><max_execution_time>30</max_execution_time><max_memory_usage>1000000000</max_memory_usage>' \
        "$(sha256 clickhouse_grafana_password)" \
        '<networks><ip>::/0</ip></networks><profile>grafana</profile><quota>default</quota>' \
        '<grants><query>GRANT SELECT ON tallybook.page_views_agg_minute</query><query>GRANT SELECT ON tallybook.page_views_agg_hour</query></grants>' \
        > clickhouse_grafana.xml

for file in *; do
    chmod 0444 "$file"
done
# In no container, for nothing there needs them: each is in another file, in its place or as a hash.
chmod 0400 postgres_owner_password postgres_service_password redis_password clickhouse_password
echo "secrets are in $(pwd); Grafana's user is admin, its password is in grafana_password"
