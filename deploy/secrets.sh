#!/bin/sh
# Make the secrets that compose.yaml mounts, once: `sh deploy/secrets.sh`. What is there already is kept.
#
# The folder is closed to other users of the host. The files in it are readable by all, because each container reads them
# under a user id of its own.
set -eu
cd "$(dirname "$0")"
umask 077
mkdir -p secrets
cd secrets

random() {
    od -An -N24 -tx1 /dev/urandom | tr -d ' \n'
}

[ -e postgres_password ] || random > postgres_password
[ -e grafana_password ] || random > grafana_password
[ -e clickhouse_password ] || random > clickhouse_password
[ -e clickhouse_url ] ||
    printf 'http://tallybook:%s@clickhouse:8123/tallybook' "$(cat clickhouse_password)" > clickhouse_url
[ -e clickhouse_users.xml ] ||
    printf '<clickhouse><users><default remove="1"/><tallybook><password_sha256_hex>%s</password_sha256_hex>%s</tallybook></users></clickhouse>' \
        "$(printf '%s' "$(cat clickhouse_password)" | sha256sum | cut -d' ' -f1)" \
        '<networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota>' > clickhouse_users.xml
[ -e clickhouse_grafana_password ] || random > clickhouse_grafana_password
# Grafana sees the sums of page views, and nothing else: no visitors, no addresses, no way to write.
[ -e clickhouse_grafana.xml ] ||
    printf '<clickhouse><profiles><grafana>%s</grafana></profiles><users><grafana><password_sha256_hex>%s</password_sha256_hex>%s%s</grafana></users></clickhouse>' \
        '<readonly>2</readonly><max_execution_time>30</max_execution_time><max_memory_usage>1000000000</max_memory_usage>' \
        "$(printf '%s' "$(cat clickhouse_grafana_password)" | sha256sum | cut -d' ' -f1)" \
        '<networks><ip>::/0</ip></networks><profile>grafana</profile><quota>default</quota>' \
        '<grants><query>GRANT SELECT ON tallybook.page_views_agg_minute</query><query>GRANT SELECT ON tallybook.page_views_agg_hour</query></grants>' \
        > clickhouse_grafana.xml
[ -e database_url ] ||
    printf 'postgresql://tallybook:%s@postgres:5432/tallybook' "$(cat postgres_password)" > database_url
chmod 0444 postgres_password grafana_password database_url clickhouse_url clickhouse_users.xml \
    clickhouse_grafana_password clickhouse_grafana.xml
echo "secrets are in $(pwd); Grafana's user is admin, its password is in grafana_password"
