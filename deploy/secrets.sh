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
[ -e database_url ] ||
    printf 'postgresql://tallybook:%s@postgres:5432/tallybook' "$(cat postgres_password)" > database_url
chmod 0444 postgres_password grafana_password database_url
echo "secrets are in $(pwd); Grafana's user is admin, its password is in grafana_password"
