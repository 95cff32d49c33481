# The Ethereum peers and their conversations. Part of interop/run, which reads this file; what it
# uses and does not define is there.

# ---- building ---------------------------------------------------------------------------------

build_geth() {
    geth=${GETH_BIN:-$cache/bin/geth}
    [ -z "${GETH_BIN:-}" ] || return 0
    need go "to build geth"
    local inputs
    inputs=$(cd "$here/geth" && stamp "$(go version)" go.mod go.sum)
    if ! cached geth "$inputs" "$geth"; then
        # Three minutes of processor time, and 1 GB for the linker.
        logged geth env -C "$here/geth" GOBIN="$cache/bin" GOTOOLCHAIN=local CGO_ENABLED=0 \
            GOFLAGS="-mod=readonly -buildvcs=false" go install github.com/ethereum/go-ethereum/cmd/geth
        printf '%s\n' "$inputs" >"$cache/geth.stamp"
    fi
}

build_ethereumjs() {
    need node "to run the ethereumjs peer"
    need npm "to install the ethereumjs peer"
    ethereumjs=$cache/ethereumjs/peer.mjs
    local inputs
    inputs=$(cd "$here/ethereumjs" && stamp "$(node --version)" package.json package-lock.json)
    mkdir -p "$cache/ethereumjs"
    if [ ! -d "$cache/ethereumjs/node_modules" ] || [ "$(cat "$cache/ethereumjs.stamp" 2>/dev/null)" != "$inputs" ]; then
        cp "$here"/ethereumjs/package.json "$here"/ethereumjs/package-lock.json "$cache/ethereumjs/"
        logged ethereumjs npm ci --ignore-scripts --no-audit --no-fund --prefix "$cache/ethereumjs"
        printf '%s\n' "$inputs" >"$cache/ethereumjs.stamp"
    fi
    # Beside its packages, where the language looks for them.
    cp "$here/ethereumjs/peer.mjs" "$ethereumjs"
}

build_ethereum-foreign() {
    build_geth
    build_ethereumjs
}

# ---- the private chain ------------------------------------------------------------------------

# geth/genesis.json is the same chain, and so is this for ethereumjs, which works no fork hash out.
tables=(--tables "$here/geth/tables")
private_js=(--network-id 7331 --fork-hash 0x6a999ea6 --fork-next 4000000000
    --genesis 0xaf5602246fc5633d7a3aba626b98fb2fa7d6222c28cf0ae9d8a635de614f0484)

# geth_listens NAME [FLAG...]: starts a daemon under that name; leaves $server and $enode.
geth_listens() {
    local name=$1
    shift
    start "$name" python3 "$here/geth/peer.py" serve "$geth" "$@"
    server=$pid
    enode=$(seen wait "$tmp/$name.out" listening 40 "$server" | seen get enode) || wrong "geth did not start" || return 1
}

# geth_saw NAME PID: what that daemon saw of the peer it greeted; leaves it in $ours.
geth_saw() {
    ours=$(seen wait "$tmp/$1.out" peer 10 "$2") || wrong "geth greeted nobody" || return 1
}

# ethereumjs_listens [FLAG...]: starts one that waits; leaves $server and $enode.
ethereumjs_listens() {
    start ethereumjs node "$ethereumjs" serve "${private_js[@]}" "$@"
    server=$pid
    enode=$(seen wait "$tmp/ethereumjs.out" listening 20 "$server" | seen get enode) || wrong "ethereumjs did not start" || return 1
}

# ---- geth and us ------------------------------------------------------------------------------

# dial_geth NAME [FLAG...]: our probe of a daemon that should greet us.
dial_geth() {
    local name=$1
    shift
    geth_listens geth "$@" || return 1
    probe private "$enode" "${tables[@]}" || return 1
    geth_saw geth "$server" || return 1
    report "$name" "$verdict" "$ours"
}

# dial_wrong_geth NAME KIND [FLAG...]: our probe of a daemon that is not for us, and must say why.
# geth refuses us as well, but which of the two is first is left open, so its reason is not asked for.
#
# Our side learns what is wrong from geth's Status only if it has not sent its own by then: geth hangs
# up on a Status that does not fit, often before its own has left. See README.md.
dial_wrong_geth() {
    local name=$1 kind=$2
    shift 2
    geth_listens geth "$@" || return 1
    probe_refused private "$enode" "$kind" "${tables[@]}" || return 1
    if seen wait "$tmp/geth.out" peer 0 "$server" >/dev/null; then
        wrong "geth greeted us all the same" || return 1
    fi
    printf 'ok   %-20s %s\n' "$name" "$kind"
}

we_dial_geth() { dial_geth we-dial-geth; }
we_dial_geth_behind() { dial_geth we-dial-geth-behind --chain behind; }
we_dial_geth_later_fork() { dial_geth we-dial-geth-later-fork --chain later-fork; }
we_dial_geth_other_network() { dial_wrong_geth we-dial-geth-other-network wrong_network --chain other-network; }
we_dial_geth_other_genesis() { dial_wrong_geth we-dial-geth-other-genesis wrong_genesis --chain other-genesis; }
we_dial_geth_other_fork() { dial_wrong_geth we-dial-geth-other-fork wrong_fork --chain other-fork; }
we_dial_geth_outdated() { dial_wrong_geth we-dial-geth-outdated obsolete --chain outdated; }
we_dial_geth_ahead() { dial_wrong_geth we-dial-geth-ahead wrong_fork --chain ahead; }
# With room for one peer, geth keeps it for one that it dials itself.
we_dial_geth_full() { dial_wrong_geth we-dial-geth-full peer_full --max-peers 1; }

geth_dials_us() {
    listen_ethereum 1 || return 1
    geth_listens geth --dial "$our_enode" || return 1
    our_peer || return 1
    finish "$listener" 20 || wrong "our listener did not end well after one greeted peer" || return 1
    geth_saw geth "$server" || return 1
    report geth-dials-us "$theirs" "$ours"
}

# listen_ethereum COUNT: starts our listener; leaves $listener and $our_enode.
listen_ethereum() {
    listen ethereum private "$1" "${tables[@]}" || return 1
    our_enode=$(seen wait "$tmp/listen.out" listening 0 "$listener" | seen get address) || wrong "our listener did not tell its enode" || return 1
}

# ---- ethereumjs and us ------------------------------------------------------------------------

# dial_ethereumjs NAME [FLAG...]: our probe of one with those flags.
dial_ethereumjs() {
    local name=$1
    shift
    ethereumjs_listens --no-ping "$@" || return 1
    probe private "$enode" "${tables[@]}" || return 1
    ours=$(seen wait "$tmp/ethereumjs.out" peer 5 "$server") || wrong "ethereumjs greeted nobody" || return 1
    finish "$server" 20 || wrong "ethereumjs did not see the connection close" || return 1
    report "$name" "$verdict" "$ours"
}

we_dial_ethereumjs() { dial_ethereumjs we-dial-ethereumjs; }
# It waits for our Status, as we may wait for its: somebody has to begin.
we_dial_patient_ethereumjs() { dial_ethereumjs we-dial-patient-ethereumjs --patient; }

# Two callers: over eth/68 with a ping of its own, then over eth/69, the last our listener waits for.
ethereumjs_dials_us() {
    listen_ethereum 2 || return 1
    start ethereumjs node "$ethereumjs" dial "${private_js[@]}" --eth 68 "$our_enode"
    finish "$pid" 30 || wrong "ethereumjs could not greet us and have its ping answered" || return 1
    ours=$(seen wait "$tmp/ethereumjs.out" peer 0 "$pid") || wrong "ethereumjs reported no peer" || return 1
    local rtt
    rtt=$(seen wait "$tmp/ethereumjs.out" pong 0 "$pid" | seen get rtt_ms) || wrong "ethereumjs measured no round trip" || return 1
    our_peer || return 1
    start ethereumjs-2 node "$ethereumjs" dial "${private_js[@]}" --eth 68,69 --no-ping --hold 20 "$our_enode"
    local second=$pid
    finish "$listener" 20 || wrong "our listener did not end well after two greeted peers" || return 1
    finish "$second" 20 || wrong "the second ethereumjs could not greet us" || return 1
    agreed 68 "$ours" || return 1
    agreed 69 "$(seen wait "$tmp/ethereumjs-2.out" peer 0 "$second")" || return 1
    report ethereumjs-dials-us "$theirs" "${ours%\}},\"rtt_ms\":$rtt}"
}

# ---- the foreign peers among themselves --------------------------------------------------------
# What does not need us: that these peers and this script do what the conversations above rely on.

# geth_pair NAME [FLAG...]: a daemon of the main chain dials one started with those flags; leaves
# what either said of the other in $theirs and $ours, for greetings.
geth_pair() {
    geth_listens geth "$@" || return 1
    local first=$server
    geth_listens geth-2 --dial "$enode" || return 1
    ours=$(seen wait "$tmp/geth.out" info 10 "$first") || return 1
    theirs=$(seen wait "$tmp/geth-2.out" info 10 "$server") || return 1
}

geth_dials_geth() {
    geth_pair || wrong "admin_peers of one daemon does not show the other" || return 1
    [ "$(seen get inbound <<<"$ours")$(seen get inbound <<<"$theirs")" = truefalse ] || wrong "who dialled whom?" || return 1
    report geth-dials-geth "$theirs" "$ours"
}

# geth_refuses NAME REASON FLAG...: a daemon of the main chain and one with those flags do not greet
# each other, and one of them says this of the other.
geth_refuses() {
    local name=$1 reason=$2 said=
    shift 2
    geth_listens geth "$@" || return 1
    local first=$server
    geth_listens geth-2 --dial "$enode" || return 1
    said=$(seen wait "$tmp/geth.out" refused 10 "$first") || wrong "geth refused nobody" || return 1
    # Of two that do not fit, the slower one only sees the other hang up.
    said+=$(seen wait "$tmp/geth-2.out" refused 2 "$server" || true)
    [[ $said == *"$reason"* ]] || wrong "not \"$reason\": $said" || return 1
    ! seen wait "$tmp/geth.out" peer 0 "$first" >/dev/null || wrong "geth greeted it as well" || return 1
    printf 'ok   %-20s %s\n' "$name" "$reason"
}

geth_refuses_network() { geth_refuses geth-refuses-network 'network ID mismatch' --chain other-network; }
geth_refuses_genesis() { geth_refuses geth-refuses-genesis 'genesis mismatch' --chain other-genesis; }
geth_refuses_fork() { geth_refuses geth-refuses-fork 'fork ID rejected' --chain other-fork; }
geth_refuses_full() { geth_refuses geth-refuses-full 'too many peers' --max-peers 1; }

ethereumjs_dials_ethereumjs() {
    ethereumjs_listens || return 1
    start ethereumjs-2 node "$ethereumjs" dial "${private_js[@]}" "$enode"
    finish "$pid" 20 || wrong "ethereumjs could not greet ethereumjs" || return 1
    theirs=$(seen wait "$tmp/ethereumjs-2.out" peer 0 "$pid") || wrong "ethereumjs reported no peer" || return 1
    finish "$server" 20 || wrong "the one dialled did not end well" || return 1
    ours=$(seen wait "$tmp/ethereumjs.out" peer 0 "$server") || wrong "the one dialled reported no peer" || return 1
    agreed 68 "$theirs" "$ours" || return 1
    report ethereumjs-to-itself "$theirs" "$ours"
}

ethereumjs_dials_geth() {
    geth_listens geth || return 1
    start ethereumjs node "$ethereumjs" dial "${private_js[@]}" --eth 68,69 "$enode"
    finish "$pid" 20 || wrong "ethereumjs could not greet geth" || return 1
    theirs=$(seen wait "$tmp/ethereumjs.out" peer 0 "$pid") || wrong "ethereumjs reported no peer" || return 1
    geth_saw geth "$server" || return 1
    agreed 69 "$theirs" "$ours" || return 1
    report ethereumjs-dials-geth "$theirs" "$ours"
}

geth_dials_ethereumjs() {
    ethereumjs_listens --eth 68,69 --hold 1 || return 1
    local served=$server
    geth_listens geth --dial "$enode" || return 1
    theirs=$(seen wait "$tmp/geth.out" info 10 "$server") || wrong "admin_peers does not show ethereumjs" || return 1
    finish "$served" 20 || wrong "ethereumjs did not end well" || return 1
    ours=$(seen wait "$tmp/ethereumjs.out" peer 0 "$served") || wrong "ethereumjs reported no peer" || return 1
    agreed 69 "$theirs" "$ours" || return 1
    report geth-dials-ethereumjs "$theirs" "$ours"
}

# geth has dropped eth/68, so these two share no version.
old_ethereumjs_dials_geth() {
    geth_listens geth || return 1
    start ethereumjs node "$ethereumjs" dial "${private_js[@]}" --eth 68 "$enode"
    local code=0
    finish "$pid" 20 || code=$?
    [ $code = 1 ] || wrong "ethereumjs ended with $code" || return 1
    seen wait "$tmp/geth.out" refused 10 "$server" | grep -q 'useless peer' || wrong "geth does not say why" || return 1
    printf 'ok   %-20s %s\n' old-js-dials-geth 'useless peer: no version of eth in common'
}

geth_held=(we_dial_geth we_dial_geth_behind we_dial_geth_later_fork we_dial_geth_other_network
    we_dial_geth_other_genesis we_dial_geth_other_fork we_dial_geth_outdated we_dial_geth_ahead
    we_dial_geth_full geth_dials_us)
ethereumjs_held=(we_dial_ethereumjs we_dial_patient_ethereumjs ethereumjs_dials_us)
ethereum_foreign_held=(geth_dials_geth geth_refuses_network geth_refuses_genesis geth_refuses_fork
    geth_refuses_full ethereumjs_dials_ethereumjs ethereumjs_dials_geth geth_dials_ethereumjs
    old_ethereumjs_dials_geth)
