# Discovery v5 and its conversations. Part of interop/run, which reads this file; what it uses and
# does not define is there.

# ---- building ---------------------------------------------------------------------------------

build_discv5() {
    discv5_peer=${DISCV5_PEER_BIN:-$cache/discv5-target/release/discv5-peer}
    sigp_node=("$discv5_peer")
    [ -z "${DISCV5_PEER_BIN:-}" ] || return 0
    need cargo "to build discv5-peer"
    local inputs
    inputs=$(cd "$here/discv5" && stamp "$(rustc -V)" Cargo.toml Cargo.lock src/*.rs)
    if ! cached discv5 "$inputs" "$discv5_peer"; then
        logged discv5 env CARGO_TARGET_DIR="$cache/discv5-target" \
            cargo build --release --locked --manifest-path "$here/discv5/Cargo.toml"
        printf '%s\n' "$inputs" >"$cache/discv5.stamp"
    fi
}

build_chainsafe() {
    need node "to run the chainsafe node"
    need npm "to install the chainsafe node"
    chainsafe_node=(node "$cache/chainsafe/peer.mjs")
    local inputs
    inputs=$(cd "$here/chainsafe" && stamp "$(node --version)" package.json package-lock.json)
    mkdir -p "$cache/chainsafe"
    if [ ! -d "$cache/chainsafe/node_modules" ] || [ "$(cat "$cache/chainsafe.stamp" 2>/dev/null)" != "$inputs" ]; then
        cp "$here"/chainsafe/package.json "$here"/chainsafe/package-lock.json "$cache/chainsafe/"
        logged chainsafe npm ci --ignore-scripts --no-audit --no-fund --prefix "$cache/chainsafe"
        printf '%s\n' "$inputs" >"$cache/chainsafe.stamp"
    fi
    # Beside its packages, where the language looks for them.
    cp "$here/chainsafe/peer.mjs" "$cache/chainsafe/peer.mjs"
}

# ---- helpers ----------------------------------------------------------------------------------

# serves NAME COMMAND...: starts a node that serves under that name; leaves $server, $enr and
# $node_id.
serves() {
    local name=$1 serving
    shift
    start "$name" "$@"
    server=$pid
    serving=$(seen wait "$tmp/$name.out" serving 30 "$server") || wrong "$name did not start" || return 1
    enr=$(seen get enr <<<"$serving")
    node_id=$(seen get node_id <<<"$serving")
}

# we_serve [FLAG...]: our node.
we_serve() { serves serve "$peerage" disc serve --bind 127.0.0.1:0 --talk-echo echo --for 90s --json "$@"; }

# asked NAME SECONDS: what a question of ours that ended well has printed; leaves it in $said.
asked() {
    finish "$pid" "$2" || wrong "our $1 failed: $(<"$tmp/$1.out")" || return 1
    said=$(<"$tmp/$1.out")
}

# ask WHAT FLAG...: a question of ours, from one node and port; leaves its output in $said.
ask() {
    local what=$1
    shift
    start "$what" "$peerage" disc "$what" --bind 127.0.0.1:0 --json --timeout 5s "$@"
    asked "$what" 20
}

# counted TYPE COUNT: whether that many lines of that type were said.
counted() {
    local found
    found=$(grep -c "\"type\":\"$1\"" <<<"$said") || true
    [ "$found" = "$2" ] || wrong "$found lines of $1, not $2: $said" || return 1
}

# ---- conversations ----------------------------------------------------------------------------
# SERVE is the name of an array: the command of the foreign node.

# we_ask NAME SERVE: PING, FINDNODE for the node itself, TALK, and eight PINGs before any session.
we_ask() {
    local name=$1
    local -n of_node=$2
    serves foreign "${of_node[@]}" serve --for 60 || return 1
    ask ping "$enr" || return 1
    counted pong 1 || return 1
    ask findnode "$enr" || return 1
    counted node 1 || return 1
    grep -qF "$enr" <<<"$said" || wrong "not its own record: $said" || return 1
    ask talk --protocol echo --payload hello "$enr" || return 1
    grep -q '"payload":"68656c6c6f"' <<<"$said" || wrong "not what we said: $said" || return 1
    # A node of ours that has never talked to it, so all eight wait for one handshake.
    ask ping --times 8 "$enr" || return 1
    counted pong 8 || return 1
    printf 'ok   %-20s ping, findnode, talk, 8 pings at once\n' "$name"
}

# it_asks NAME SERVE: the same from the other side.
it_asks() {
    local name=$1
    local -n of_node=$2
    we_serve || return 1
    start foreign "${of_node[@]}" ask "$enr" --times 8
    finish "$pid" 30 || wrong "it could not ask us: $(<"$tmp/foreign.out")" || return 1
    said=$(<"$tmp/foreign.out")
    grep -qF "$enr" <<<"$said" || wrong "not our own record: $said" || return 1
    grep '"type":"talk"' <<<"$said" | grep -q '"hello"' || wrong "not what it said: $said" || return 1
    grep '"type":"pong"' <<<"$said" | grep -q '"count":8' || wrong "not eight answers: $said" || return 1
    printf 'ok   %-20s 8 pings at once, findnode, talk\n' "$name"
}

# A free UDP port of 127.0.0.1, for a node that has to keep it over a restart.
free_port() {
    python3 -c 'import socket; s = socket.socket(type=socket.SOCK_DGRAM); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# pongs: how many PINGs of ours have been answered.
pongs() { grep -c '"type":"pong"' "$tmp/ping.out" || true; }

# it_restarts NAME SERVE: our node goes on asking it under the keys of their session, which it has
# lost with its process.
it_restarts() {
    local name=$1 port key before deadline
    local -n of_node=$2
    port=$(free_port)
    key=$(printf '5a%.0s' {1..32})
    serves foreign "${of_node[@]}" serve --key "$key" --port "$port" --for 60 || return 1
    local first=$server
    start ping "$peerage" disc ping --bind 127.0.0.1:0 --json --times 80 --pause 500ms "$enr"
    local asking=$pid
    seen wait "$tmp/ping.out" pong 10 "$asking" >/dev/null || wrong "the first ping was not answered" || return 1
    stop "$first"
    before=$(pongs)
    serves foreign-2 "${of_node[@]}" serve --key "$key" --port "$port" --for 60 || return 1
    deadline=$((SECONDS + 15))
    until [ "$(pongs)" -gt "$before" ]; do
        [ $SECONDS -le $deadline ] || wrong "no answer after the restart" || return 1
        sleep 0.1
    done
    seen wait "$tmp/foreign-2.out" session 2 "$server" >/dev/null || wrong "no new session" || return 1
    stop "$asking"
    printf 'ok   %-20s a new handshake for old keys\n' "$name"
}

# we_restart NAME SERVE: the same with our node in its place.
we_restart() {
    local name=$1 port
    local -n of_node=$2
    port=$(free_port)
    "$peerage" key new "$tmp/node.key" >/dev/null || wrong "no key" || return 1
    serves serve "$peerage" disc serve --bind "127.0.0.1:$port" --key "$tmp/node.key" --talk-echo echo --for 60s --json || return 1
    local first=$server
    mkfifo "$tmp/again"
    # Held open, so that the other side reads no end before it is told to go on.
    exec {again}<>"$tmp/again"
    timeout 60 "${of_node[@]}" ask "$enr" --again <"$tmp/again" >"$tmp/foreign.out" 2>"$tmp/foreign.err" &
    local asking=$!
    children+=("$asking")
    seen wait "$tmp/foreign.out" talk 15 "$asking" >/dev/null || wrong "its first questions were not answered" || return 1
    stop "$first"
    serves serve-2 "$peerage" disc serve --bind "127.0.0.1:$port" --key "$tmp/node.key" --talk-echo echo --for 60s --json || return 1
    echo >&"$again"
    finish "$asking" 20 || wrong "its second questions failed: $(<"$tmp/foreign.out")" || return 1
    exec {again}>&-
    [ "$(grep -c '"type":"pong"' "$tmp/foreign.out")" = 2 ] || wrong "not both: $(<"$tmp/foreign.out")" || return 1
    printf 'ok   %-20s a new handshake for old keys\n' "$name"
}

# mixed NAME KIND...: ten nodes that know only the first, of these kinds in turn; our finder,
# which knows the first as well, lists all of them.
mixed() {
    local name=$1 boot kinds n kind ids=() found
    shift
    kinds=("$@")
    we_serve || return 1
    boot=$enr
    ids+=("$node_id")
    local -a waiting=()
    for n in 2 3 4 5 6 7 8 9 10; do
        kind=${kinds[$((n % ${#kinds[@]}))]}
        if [ "$kind" = ours ]; then
            start "node-$n" "$peerage" disc serve --bind 127.0.0.1:0 --bootnode "$boot" --for 90s --json
        else
            local -n of_node=$kind
            start "node-$n" "${of_node[@]}" serve --boot "$boot" --for 90
        fi
        waiting+=("$pid")
    done
    for n in 2 3 4 5 6 7 8 9 10; do
        ids+=("$(seen wait "$tmp/node-$n.out" serving 30 "${waiting[$((n - 2))]}" | seen get node_id)") || wrong "node $n did not start" || return 1
    done
    start find "$peerage" find ethereum --all --bind 127.0.0.1:0 --bootnode "$boot" --count 10 --for 40s --json
    finish "$pid" 60 || wrong "not all ten were found: $(<"$tmp/find.out")" || return 1
    found=$(<"$tmp/find.out")
    for n in "${ids[@]}"; do
        grep -q "\"node_id\":\"$n\"" <<<"$found" || wrong "$n was not found" || return 1
    done
    # A lookup, for which the nodes have to pass each other on.
    ask lookup --target "${ids[9]}" "$boot" || return 1
    grep '"type":"node"' <<<"$said" | head -n 1 | grep -q "\"node_id\":\"${ids[9]}\"" || wrong "the lookup's nearest is not its target: $said" || return 1
    printf 'ok   %-20s all 10 found in %s ms; a lookup finds the tenth\n' "$name" "$(seen wait "$tmp/find.out" found 0 "$pid" | seen get took_ms)"
}

we_ask_discv5() { we_ask we-ask-discv5 sigp_node; }
discv5_asks_us() { it_asks discv5-asks-us sigp_node; }
discv5_restarts() { it_restarts discv5-restarts sigp_node; }
we_restart_discv5() { we_restart we-restart-discv5 sigp_node; }
mixed_discv5() { mixed mixed-discv5 sigp_node ours; }
we_ask_chainsafe() { we_ask we-ask-chainsafe chainsafe_node; }
chainsafe_asks_us() { it_asks chainsafe-asks-us chainsafe_node; }
chainsafe_restarts() { it_restarts chainsafe-restarts chainsafe_node; }
we_restart_chainsafe() { we_restart we-restart-chainsafe chainsafe_node; }
mixed_chainsafe() { mixed mixed-chainsafe chainsafe_node ours ours; }

discv5_held=(we_ask_discv5 discv5_asks_us discv5_restarts we_restart_discv5 mixed_discv5)
chainsafe_held=(we_ask_chainsafe chainsafe_asks_us chainsafe_restarts we_restart_chainsafe mixed_chainsafe)
