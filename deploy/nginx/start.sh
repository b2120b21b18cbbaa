#!/bin/sh
# Write what nginx.conf includes, from the environment, and become nginx. With a folder as argument: write it there, start nothing.
#
# OUTER_PROXIES   addresses and networks, by commas: what they say about the client's address, scheme and host is believed
# TLS             if not empty, listen with the certificate in /etc/nginx/tls
set -eu
folder=${1:-/tmp}

: > "$folder/outer_addresses.conf"
: > "$folder/outer_networks.conf"
for network in $(printf '%s' "${OUTER_PROXIES:-}" | tr ',' ' '); do
    case $network in
    *[!0-9a-fA-F.:/]*)
        echo "{\"event\":\"outer_proxies_unusable\",\"reason\":\"OUTER_PROXIES has $network: give addresses and networks, as in 10.0.0.0/8,192.0.2.7\"}" |
            tr -d '\\' >&2
        exit 64
        ;;
    esac
    echo "set_real_ip_from $network;" >> "$folder/outer_addresses.conf"
    echo "$network 1;" >> "$folder/outer_networks.conf"
done

: > "$folder/listen_tls.conf"
if [ -n "${TLS:-}" ]; then
    for file in certificate.pem key.pem; do
        if [ ! -r "/etc/nginx/tls/$file" ]; then
            echo "{\"event\":\"certificate_missing\",\"reason\":\"$file cannot be read in the folder TLS_FOLDER (docs/tls.md)\"}" >&2
            exit 64
        fi
    done
    cat > "$folder/listen_tls.conf" <<END
listen 8443 ssl backlog=4096;
ssl_certificate /etc/nginx/tls/certificate.pem;
ssl_certificate_key /etc/nginx/tls/key.pem;
END
fi

[ $# = 0 ] || exit 0
exec nginx -g 'daemon off;'
