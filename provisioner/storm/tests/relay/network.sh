# Runs in a network namespace of its own, as its root: the relay's. Makes another for the server.
#   SERVER SETTINGS JOURNAL: the program to serve with; DHCRELAY, BUSYBOX: programs; OUT: folder for output.
# Wires: client c0 ── r1 (10.78.0.1) relay (10.77.0.2) up0 ── s0 (10.77.0.1) server
set -eu
children=""
trap 'for child in $children; do kill "$child" 2>/dev/null || true; done' EXIT
unshare --net sleep 600 &
there=$!
children="$there"
# Until it has left this namespace.
while [ "$(readlink /proc/$there/ns/net)" = "$(readlink /proc/self/ns/net)" ]; do sleep 0.05; done
server() { nsenter --target "$there" --net "$@"; }
ip link set lo up
ip link add up0 type veth peer name s0 netns "$there"
ip link add r1 type veth peer name c0
ip addr add 10.77.0.2/24 dev up0
ip addr add 10.78.0.1/24 dev r1
for link in up0 r1 c0; do ip link set "$link" up; done
server ip addr add 10.77.0.1/24 dev s0
server ip link set lo up
server ip link set s0 up
server ip route add 10.78.0.0/24 via 10.77.0.2

nsenter --target "$there" --net "$SERVER" serve "$SETTINGS" "$JOURNAL" > "$OUT/server.log" 2>&1 &
children="$children $!"
# -a: option 82 with the name of the client's interface; -D: an answer without it is dropped.
"$DHCRELAY" -4 -d -a -D -id r1 -iu up0 --no-pid 10.77.0.1 > "$OUT/relay.log" 2>&1 &
children="$children $!"
for try in $(seq 100); do
    if grep -q ready "$OUT/server.log" && grep -q "Sending on" "$OUT/relay.log"; then break; fi
    sleep 0.1
done

cat > "$OUT/told.sh" <<'TOLD'
#!/bin/sh
[ "$1" != bound ] || echo "bound ip=$ip server=$serverid relay=${router:-} boot=${boot_file:-} lease=$lease" >> "$LEASES"
TOLD
chmod +x "$OUT/told.sh"
export LEASES="$OUT/leases"
ask() { "$BUSYBOX" udhcpc -f -q -n -t 10 -T 1 -i c0 -s "$OUT/told.sh" "$@" >> "$OUT/client.log" 2>&1; }
# A plain client, the same one again, a PXE client for UEFI.
ask
ask
ip link set c0 address 02:00:00:00:00:77
ask -V PXEClient:Arch:00007:UNDI:003016 -x 0x5d:0007 -O bootfile
echo done
