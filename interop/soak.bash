# A daemon under everything at once, in rounds, and whether it stays as it was. Part of interop/run,
# which reads this file; what it uses and does not define is there, api_python in api.bash.

build_soak() {
    build_api
}

# soak_rounds NAME ROUNDS SECONDS: a daemon, and so many rounds of so long each.
soak_rounds() {
    local name=$1 rounds=$2 span=$3 http peers daemon timer soak line
    local lifetime=$((rounds * (span + 90) + 60))
    read -r http peers <<<"$(free_ports 2)"
    mkdir -p "$tmp/soak"
    cat >"$tmp/soak.toml" <<END
data = "soak"
log.level = "error"
[api]
grpc = "unix:soak/api.sock"
http = "127.0.0.1:$http"
[[node]]
network = "zcash"
chain = "regtest"
listen = ["127.0.0.1:$peers"]
seeds.table = false
limits.outbound = 4
limits.inbound = 50
END
    start soak-daemon "$peerage" serve --config "$tmp/soak.toml"
    timer=$pid
    seen wait-dcrd "$tmp/soak-daemon.err" 'serving' 1 "$timer" >/dev/null 2>&1 || true
    # What we start is a `timeout` around it.
    for _ in $(seq 200); do
        daemon=$(pgrep -P "$timer" || true)
        [ -z "$daemon" ] || [ ! -S "$tmp/soak/api.sock" ] || break
        sleep 0.1
    done
    [ -S "$tmp/soak/api.sock" ] || wrong "the daemon does not serve" || return 1
    start soak env PYTHONPATH="$here/api" "$api_python" "$here/api/soak.py" "$root/examples/python/generated" \
        "$tmp/soak/api.sock" "127.0.0.1:$http" "127.0.0.1:$peers" "$daemon" "$tmp/soak.toml" "$rounds" "$span"
    soak=$pid
    finish "$soak" $((lifetime - 10)) || wrong "it is not flat, or something failed under load" || return 1
    kill -0 "$daemon" 2>/dev/null || wrong "the daemon has not survived" || return 1
    kill -TERM "$daemon"
    finish "$timer" 30 || wrong "the daemon did not end well" || return 1
    [ -z "${SOAK_OUT:-}" ] || cp "$tmp/soak.out" "$SOAK_OUT"
    while read -r line; do printf 'ok   %-20s %s\n' "$name" "$line"; done <"$tmp/soak.out"
}

# Twelve rounds of 50 s are a quarter of an hour with their rests; without --long, six of 10 s.
soak_short() { soak_rounds soak 6 10; }
soak_long() { soak_rounds soak-long 12 55; }
