#!/usr/bin/env bash
# Build stand-ins for the images that compose.yaml and deploy/Dockerfile ask for, under their tags, and only where they are missing.
#
# Each is Debian's package of about the version that is asked for; ClickHouse is the embedded engine behind its gateway. It needs root,
# a running engine, debootstrap and Debian's mirror. Grafana and Kafka have no stand-in.
set -euo pipefail
cd "$(dirname "$0")/../../.."

here=tests/slow/containers
mirror=$(sed -nE 's/^URIs: *//p; s/^deb (\[[^]]*\] )?([^ ]+) .*/\2/p' /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list 2>/dev/null | head -1 || true)

context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT

is_there() { docker image inspect "$1" >/dev/null 2>&1; }

bootstrap() { # release, packages
    is_there "tallybook-standin:$1" && return
    local root
    root=$(mktemp -d)
    # Releases differ by their names alone; an older debootstrap has no script for the newest.
    local script=/usr/share/debootstrap/scripts/$1
    [ -e "$script" ] || script=/usr/share/debootstrap/scripts/sid
    debootstrap --variant=minbase ${2:+--include="$2"} "$1" "$root" "$mirror" "$script" >&2
    tar -C "$root" -c . | docker import - "tallybook-standin:$1" >/dev/null
    rm -rf "$root"
}

tag() { # service
    docker-compose -f compose.yaml config --format json | python3 -c 'import json, sys; print(json.load(sys.stdin)["services"][sys.argv[1]]["image"])' "$1"
}

stand_in() { # target, tag
    is_there "$2" && return
    echo "building a stand-in for $2" >&2
    # A context of its own: .dockerignore is about another image.
    cp /etc/ssl/certs/ca-certificates.crt "$context/ca.crt"
    tar -c --exclude __pycache__ requirements.txt shared gateway "$here" -C "$context" ca.crt |
        DOCKER_BUILDKIT=0 docker build -q --target "$1" -t "$2" -f "$here/Dockerfile" - >/dev/null
}

bootstrap bookworm python3,python3-venv
bootstrap forky
stand_in python "$(sed -n 's/^FROM //p' deploy/Dockerfile | tail -1)"
stand_in valkey "$(tag redis)"
for service in nginx postgres prometheus clickhouse; do
    stand_in "$service" "$(tag "$service")"
done
