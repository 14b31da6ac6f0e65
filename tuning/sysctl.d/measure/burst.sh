#!/bin/sh
# How long a burst of 4,000 clients waits that connects while the gateway's cores stand still for
# 100 ms, under given sysctls. Needs root, python3 and iproute2. It runs in a network namespace of
# its own: the host's settings and its network are not touched.
#
#   burst.sh RINGWAY SOMAXCONN SYNCOOKIES MAX_SYN_BACKLOG
set -eu
if [ "${5-}" != inside ]; then
    exec unshare --net "$0" "$1" "$2" "$3" "$4" inside
fi
ip link set lo up
sysctl -qw "net.core.somaxconn=$2" "net.ipv4.tcp_syncookies=$3" "net.ipv4.tcp_max_syn_backlog=$4"
"$1" --listen 127.0.0.1:21000 --api-listen 127.0.0.1:21001 --log error \
    --set limits.connections_per_address_max=20000 &
gateway=$!
sleep 1
python3 "$(dirname "$0")/burst.py" "$gateway" 127.0.0.1 21000 4000
nstat -az | grep -E 'ListenOverflows|ReqQFull'
kill "$gateway"
wait "$gateway"
