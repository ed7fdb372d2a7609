# In a network of its own: a switch, and five places on it, 10.78.0.1 to 3, 8 and 9. Their processes' numbers go into $1/place-N.
# Says `ready`, and ends with its standard input.
set -e
mine=$(readlink /proc/self/ns/net)
ip link set lo up
ip link add sw type bridge
ip link set sw up
for n in 1 2 3 8 9; do
    unshare --net sleep 3600 &
    pid=$!
    while [ "$(readlink /proc/$pid/ns/net)" = "$mine" ]; do sleep 0.05; done
    ip link add "p$n" type veth peer name eth0 netns "$pid"
    ip link set "p$n" master sw up
    inside="nsenter --target $pid --net"
    $inside ip link set lo up
    $inside ip address add "10.78.0.$n/24" dev eth0
    $inside ip link set eth0 up
    echo "$pid" > "$1/place-$n"
done
echo ready
cat > /dev/null
kill $(cat "$1"/place-*)
