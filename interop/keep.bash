# Keeping: one daemon of three networks and foreign peers of all of them. Part of interop/run, which
# reads this file; what it uses and does not define is there.
#
# Five foreign peers listen and our daemon keeps them: zebra, btcd, dcrd and ethereumjs as static
# peers, geth by discovery. Five more dial us. Daemon and listeners are killed and come back.

build_keep() {
    build_zebra
    build_dcrd
    build_btcd
    build_geth
    build_ethereumjs
}

keep_listeners=(zebra btcd dcrd geth ethereumjs)
# The network of each, and how many peers each network has in all.
declare -A keep_network=([zebra]=zcash [btcd]=zcash [dcrd]=decred [geth]=ethereum [ethereumjs]=ethereum)
declare -A keep_chain=([zcash]=testnet [decred]=simnet [ethereum]=private)
declare -A keep_out=([zcash]=2 [decred]=1 [ethereum]=2)
# How software of its kind calls itself.
declare -A keep_agent=([zebra]=Zebra [btcd]=btcd-peer [dcrd]=dcrd [geth]=Geth [ethereumjs]=ethereumjs)
declare -A keep_port keep_pid keep_key keep_peer

# ---- helpers ----------------------------------------------------------------------------------

# free_ports COUNT: ports of 127.0.0.1 that nobody has, neither for TCP nor for UDP, for those who
# have to keep them over a restart: below those that the system gives to whoever dials.
free_ports() {
    python3 - "$1" <<'END'
import random, socket, sys

held = []
while len(held) < int(sys.argv[1]):
    tcp, udp = socket.socket(), socket.socket(type=socket.SOCK_DGRAM)
    at = ("127.0.0.1", random.randrange(20000, 32000))
    try:
        tcp.bind(at)
        udp.bind(at)
    except OSError:
        continue
    held.append((tcp, udp))
print(*(tcp.getsockname()[1] for tcp, _ in held))
END
}

# kill_hard PID...: ends children and what they have started at once, without a word. Each leads a
# process group of its own.
kill_hard() {
    local one
    for one in "$@"; do
        kill -9 -- "-$one" 2>/dev/null || true
    done
    for one in "$@"; do
        # Only children are waited for; how a killed one ended is known.
        wait "$one" 2>/dev/null || true
    done
}

# seconds_since MILLISECONDS: as text with a digit.
now_ms() { date +%s%3N; }
seconds_since() {
    local ms=$(($(now_ms) - $1))
    printf '%d.%d' $((ms / 1000)) $((ms % 1000 / 100))
}

# ---- our daemon -------------------------------------------------------------------------------

# keep_config BANS PING PIN: the daemon's configuration; PIN is geth's enode, or empty to find it.
keep_config() {
    local bans=$1
    shift
    local ping=${1:+ping = \"$1\"} pin=${2:+, \"$2\"}
    cat >"$tmp/keep.toml" <<END
data = "keep-data"
status = "1s"

[[node]]
network = "zcash"
chain = "testnet"
listen = ["127.0.0.1:${keep_port[our-zcash]}"]
seeds = { table = false }
static = ["${keep_peer[zebra]}", "${keep_peer[btcd]}"]
bans = [$bans]
$ping

[[node]]
network = "decred"
chain = "simnet"
# dcrd drops an outbound peer that does not advertise itself as a full node.
services = 1
listen = ["127.0.0.1:${keep_port[our-decred]}"]
seeds = { table = false }
static = ["${keep_peer[dcrd]}"]
$ping

[[node]]
network = "ethereum"
chain = "private"
listen = ["127.0.0.1:${keep_port[our-ethereum]}"]
discovery = { boot = [] }
static = ["${keep_peer[ethereumjs]}"$pin]
$ping
END
}

# keep_daemon NAME: starts it; leaves $daemon, $log, $our_enode and $our_enr.
keep_daemon() {
    local listening
    start "$1" "$peerage" serve --config "$tmp/keep.toml" "${tables[@]}" --json
    daemon=$pid
    log=$tmp/$1.out
    listening=$(seen where "$log" 0 30 "$daemon" type=listening network=ethereum) || wrong "our daemon did not start" || return 1
    our_enode=$(jq_first addresses <<<"$listening")
    our_enr=$(seen get enr <<<"$listening")
}

# jq_first KEY: the first value of a list in the object on standard input.
jq_first() { python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]][0])' "$1"; }

# here: how much our daemon has told so far, for what comes after.
here() { wc -l <"$log"; }

# told FROM SECONDS KEY=VALUE...: what our daemon told after FROM.
told() {
    local from=$1 seconds=$2
    shift 2
    seen where "$log" "$from" "$seconds" "$daemon" "$@"
}

# all_established FROM SECONDS: whether the daemon has dialled and greeted every listener.
all_established() {
    local name
    for name in "${keep_listeners[@]}"; do
        told "$1" "$2" type=established direction=outbound "key=${keep_key[$name]}" >/dev/null ||
            wrong "our daemon did not greet $name" || return 1
    done
}

# all_figures FROM SECONDS KEY>=N...: whether the figures of each network come to this. N may be OUT,
# as many as listen there, or BOTH, with those who dial us.
all_figures() {
    local from=$1 seconds=$2 network one wanted
    shift 2
    for network in zcash decred ethereum; do
        wanted=()
        for one in "$@"; do
            one=${one/OUT/${keep_out[$network]}}
            wanted+=("${one/BOTH/$((2 * keep_out[$network]))}")
        done
        told "$from" "$seconds" type=status "network=$network" "${wanted[@]}" >/dev/null ||
            wrong "the figures of $network do not come to ${wanted[*]}: $(grep '"type":"status"' "$log" | grep "\"$network\"" | tail -n 1)" || return 1
    done
}

# story NAME: what `why` tells of a listener, as JSON.
story() {
    local network=${keep_network[$1]}
    "$peerage" why "${tables[@]}" --data "$tmp/keep-data" --json -n "$network" \
        --chain "${keep_chain[$network]}" "${keep_peer[$1]}"
}

# story_has NAME SECONDS PATTERN: waits until its history is so.
story_has() {
    local deadline=$((SECONDS + $2)) found
    until found=$(story "$1" | seen story) && [[ " $found " == *$3* ]]; do
        [ $SECONDS -le $deadline ] || wrong "$1: the history is $found" || return 1
        sleep 0.2
    done
}

# ---- foreign peers ----------------------------------------------------------------------------

# dcrd_with_rpc NAME FLAG...: a dcrd that answers questions at its RPC port, its data kept by name.
# It has a block, made by itself: without one it takes whoever serves blocks for somebody to sync
# from, and drops a peer that has none to give after 10 s.
dcrd_with_rpc() {
    local name=$1
    shift
    start "$name" "$dcrd" --appdata="$tmp/data-${name%.[0-9]}" --simnet --noseeders --nodiscoverip \
        --nofilelogging --nobanning --debuglevel=debug --notls --rpclisten=127.0.0.1:0 \
        --rpcuser=interop --rpcpass=interop --miningaddr=Ssn23a3rJaCUxjqXiVSNwU6FxV45sLkiFpz "$@"
}

# dcrd_rpc NAME WORD...: asks it.
dcrd_rpc() {
    local name=$1 rpc
    shift
    rpc=$(seen wait-dcrd "$tmp/$name.out" 'RPC server listening on (127\.0\.0\.1:\d+)' 30 "$$") || wrong "$name has no RPC" || return 1
    python3 "$here/dcrd/rpc.py" "$rpc" "$@"
}

# dcrd_pings NAME: has it ping its peers, and waits until we have answered.
dcrd_pings() {
    local deadline=$((SECONDS + 20)) peers
    dcrd_rpc "$1" ping || wrong "$1 cannot be asked to ping" || return 1
    until peers=$(dcrd_rpc "$1" peers) && grep -q '"rtt_ms": [0-9]' <<<"$peers"; do
        [ $SECONDS -le $deadline ] || wrong "$1 has no answer to its ping: $peers" || return 1
        sleep 0.2
    done
}

# listener NAME RUN: starts one of those who listen, always at the same address.
listener() {
    local name=$1 file=$1.$2 port=${keep_port[$1]}
    case $name in
    zebra) start "$file" "$zebra_peer" serve --chain testnet --listen "127.0.0.1:$port" ${keep_pings:+--ping "${keep_pings%s}"} ;;
    btcd) start "$file" "$btcd_peer" serve -listen "127.0.0.1:$port" -ping 5s -timeout "${lifetime}s" ;;
    dcrd) dcrd_with_rpc "$file" --listen="127.0.0.1:$port" ;;
    geth)
        start "$file" python3 "$here/geth/peer.py" serve "$geth" --port "$port" \
            --key "$(printf '67%.0s' {1..32})" --discover "$our_enr" --seconds "$lifetime"
        ;;
    ethereumjs)
        start "$file" node "$ethereumjs" serve "${private_js[@]}" --eth 68,69 --port "$port" \
            --key "0x$(printf '6a%.0s' {1..32})" --count 99 --seconds "$lifetime"
        ;;
    esac
    keep_pid[$name]=$pid
}

# dialler NAME: starts one of those who dial us and stay.
dialler() {
    local name=$1 file=$1.in
    case $name in
    zebra) start "$file" "$zebra_peer" dial --chain testnet --hold "$lifetime" "127.0.0.1:${keep_port[our-zcash]}" ;;
    btcd) start "$file" "$btcd_peer" dial -ping 5s -timeout "${lifetime}s" "127.0.0.1:${keep_port[our-zcash]}" ;;
    dcrd)
        dcrd_with_rpc "$file" --listen=127.0.0.1:0
        dcrd_rpc "$file" mine && dcrd_rpc "$file" dial "127.0.0.1:${keep_port[our-decred]}"
        ;;
    geth) start "$file" python3 "$here/geth/peer.py" serve "$geth" --dial "$our_enode" --seconds "$lifetime" ;;
    ethereumjs) start "$file" node "$ethereumjs" dial "${private_js[@]}" --eth 68,69 --hold "$lifetime" --seconds "$lifetime" "$our_enode" ;;
    esac
}

# kill_listeners: kill -9 of all who listen, geth in its own group.
kill_listeners() {
    local name pids=()
    for name in "${keep_listeners[@]}"; do pids+=("${keep_pid[$name]}"); done
    pids+=("$(seen wait "$tmp/geth.$1.out" listening 0 "$$" | seen get pid)")
    kill_hard "${pids[@]}"
}

# ---- the conversation -------------------------------------------------------------------------

# keep_all PING PIN HOLD: PING is how often we and zebra ping, or empty for the customs of each; PIN yes to make geth static once
# it was found; HOLD seconds of nothing but keeping, in each of two runs.
keep_all() {
    local keep_pings=$1 pin=$2 hold=$3 name network began ports from enode lost sessions
    read -ra ports <<<"$(free_ports 8)"
    for name in "${keep_listeners[@]}" our-zcash our-decred our-ethereum; do
        keep_port[$name]=${ports[0]}
        ports=("${ports[@]:1}")
    done
    for name in zebra btcd dcrd; do keep_key[$name]=127.0.0.1:${keep_port[$name]}; done
    keep_peer[zebra]=zec://${keep_key[zebra]}
    keep_peer[btcd]=zec://${keep_key[btcd]}
    keep_peer[dcrd]=dcr://${keep_key[dcrd]}
    for name in zebra btcd dcrd ethereumjs; do listener "$name" 1; done
    keep_peer[ethereumjs]=$(seen wait "$tmp/ethereumjs.1.out" listening 30 "${keep_pid[ethereumjs]}" | seen get enode) || wrong "ethereumjs did not start" || return 1
    dcrd_rpc dcrd.1 mine || wrong "dcrd made no block" || return 1

    # Found and greeted.
    keep_config '"192.0.2.0/24"' "$keep_pings" ""
    began=$(now_ms)
    keep_daemon daemon-1 || return 1
    listener geth 1
    keep_peer[geth]=$(seen wait "$tmp/geth.1.out" listening 60 "${keep_pid[geth]}" | seen get enode) || wrong "geth did not start" || return 1
    for name in geth ethereumjs; do
        enode=${keep_peer[$name]#enode://}
        keep_key[$name]=${enode%%@*}
    done
    all_established 0 60 || return 1
    for name in "${keep_listeners[@]}"; do story_has "$name" 30 ' greeted ' || return 1; done
    grep -q '"kind":"discovery"' <<<"$(story geth)" || wrong "geth was not found by discovery: $(story geth)" || return 1
    printf 'ok   %-20s five foreign peers of three networks in one daemon after %s s, geth by discovery\n' keep-found "$(seconds_since "$began")"
    sleep "$hold"
    all_figures "$(here)" 30 "active>=OUT" || return 1

    # The daemon is killed and starts again with what it has on the disk.
    kill_hard "$daemon"
    for name in "${keep_listeners[@]}"; do
        [ "$(story "$name" | seen get now)" = cut ] || wrong "of a killed daemon, why tells: $(story "$name")" || return 1
    done
    # It is not told of the ban again.
    if [ "$pin" = yes ]; then pin=${keep_peer[geth]}; else pin=; fi
    keep_config "" "$keep_pings" "$pin"
    began=$(now_ms)
    keep_daemon daemon-2 || return 1
    all_established 0 60 || return 1
    told 0 30 type=status network=zcash bans=1 >/dev/null || wrong "the ban is gone" || return 1
    for name in "${keep_listeners[@]}"; do story_has "$name" 30 ' greeted cut*greeted ' || return 1; done
    printf 'ok   %-20s killed, started again: all five back after %s s, ban and history too\n' keep-kill-daemon "$(seconds_since "$began")"

    # Others dial us and are kept beside them, and everybody pings everybody.
    for name in "${keep_listeners[@]}"; do dialler "$name" || return 1; done
    all_figures 0 60 "active>=BOTH" || return 1
    dcrd_pings dcrd.1 || return 1
    dcrd_pings dcrd.in || return 1
    # So many that nobody was left out: the end of each session will tell.
    all_figures 0 $((60 + hold)) "pongs_in>=BOTH" "pongs_out>=BOTH" || return 1
    sleep "$hold"
    # geth and ethereumjs ping every 15 s.
    told 0 60 type=status network=ethereum 'pongs_out>=6' >/dev/null || wrong "the peers on ethereum do not ping" || return 1
    all_figures "$(here)" 30 "active>=BOTH" || return 1
    printf 'ok   %-20s ten at once, five that we dialled and five that dialled us; pings both ways\n' keep-ten

    # Those who listen are killed, missed, and come back.
    from=$(here)
    kill_listeners 1
    for name in "${keep_listeners[@]}"; do
        lost=$(told "$from" 60 type=closed "key=${keep_key[$name]}" direction=outbound 'pongs_in>=1' 'pongs_out>=1') ||
            wrong "our daemon did not notice that $name is gone, or they did not ping each other: $(grep "\"key\":\"${keep_key[$name]}\"" "$log" | tail -n 2)" || return 1
        printf 'ok   %-20s %s\n' "keep-lost-$name" "$(seen lost <<<"$lost")"
    done
    began=$(now_ms)
    from=$(here)
    for name in "${keep_listeners[@]}"; do listener "$name" 2; done
    all_established "$from" 180 || return 1
    printf 'ok   %-20s all five dialled again and kept, %s s after they were started again\n' keep-back "$(seconds_since "$began")"
    sleep "$hold"
    all_figures "$(here)" 30 "active>=BOTH" || return 1

    # The end, with goodbyes; and what every session was worth.
    kill -TERM "$daemon"
    finish "$daemon" 20 || wrong "our daemon ended with $?" || return 1
    seen sessions "$log" >"$tmp/sessions.out"
    for name in "${keep_listeners[@]}"; do
        network=${keep_network[$name]}
        seen where "$tmp/sessions.out" 0 0 "$$" "network=$network" direction=inbound "agent~${keep_agent[$name]}" 'pongs_in>=1' 'pongs_out>=1' >/dev/null ||
            wrong "$name, which dialled us, was not kept: $(grep inbound "$tmp/sessions.out")" || return 1
        story_has "$name" 0 ' greeted cut*greeted left(*greeted left(' || return 1
    done
    sessions=$(wc -l <"$tmp/sessions.out")
    printf 'ok   %-20s goodbye to all; %s sessions; why tells of zebra: %s\n' keep-stories "$sessions" "$(story zebra | seen story)"
}

keep_short() {
    # Of those who stay from the beginning to the end, on a machine with much else to do.
    local lifetime=300
    keep_all 5s yes 0
}
# As long as the customs of all take to show: dcrd pings every 120 s, zebra every 59 s.
keep_long() { keep_all "" no 180; }
keep_held=(keep_short)
