# Every recipe is one line into the task program (hw-tests/xtask). Run through ./just, which sets up first.
set positional-arguments

xtask := "cargo run --quiet --package weft-xtask --"

# Show the recipes
default:
    @just --justfile {{justfile()}} --list

# Set up, build, sign, start an appliance and nodes, run a guest: the main job. The lab stays up.
up *ARGS:
    @{{xtask}} up "$@"

# Take the lab down
down *ARGS:
    @{{xtask}} down "$@"

# Show what of the lab runs
status *ARGS:
    @{{xtask}} status "$@"

# The command line, against the lab: ./just weft node list
weft *ARGS:
    @{{xtask}} weft "$@"

# Run all tests; the last line is `N passed, N failed`
test *ARGS:
    @{{xtask}} test "$@"

# Run one bench, or list them
bench *ARGS:
    @{{xtask}} bench "$@"

# Run the long tests: all combinations of firmware, NIC and DHCP mode
soak *ARGS:
    @{{xtask}} soak "$@"

# Run one fuzz target for a while, or list them
fuzz *ARGS:
    @{{xtask}} fuzz "$@"

# Run the simulations over more seeds
sim *ARGS:
    @{{xtask}} sim "$@"

# Format the sources
fmt *ARGS:
    @{{xtask}} fmt "$@"

# Check formatting and lints
lint *ARGS:
    @{{xtask}} lint "$@"

# Build the node image
image *ARGS:
    @{{xtask}} image "$@"

# Build the Debian package of the appliance and the command line
deb *ARGS:
    @{{xtask}} deb "$@"

# Install missing host packages and nothing else
setup:
    @{{xtask}} setup
