# The in-proxy: foreign peers greeted through a volunteer, and many connections. Part of interop/run,
# which reads this file; what it uses and does not define is there.

build_inproxy() {
    build_zebra
    build_dcrd
    build_geth
}

inproxy_held=(via_zebra via_dcrd via_geth relayed_many)

# introduced: starts a broker, writes an invitation, starts a volunteer; leaves $via for our probe.
introduced() {
    local place key all=127.0.0.0/8:1-65535
    start broker "$peerage" broker serve --dir "$tmp/op" --listen 127.0.0.1:0 --loopback-for-tests --json
    place=$(seen wait "$tmp/broker.out" broker 20 "$pid") || wrong "our broker did not start" || return 1
    key=$(seen get key <<<"$place") && place=$(seen get listen <<<"$place") || return 1
    "$peerage" broker invite --dir "$tmp/op" --at "$place" --allow $all >"$tmp/invitation" || wrong "no invitation" || return 1
    start volunteer "$peerage" broker volunteer --broker "$key@$place" --key "$tmp/volunteer.key" \
        --allow $all --allow-private --bind 127.0.0.1 --json
    volunteer=$pid
    seen wait "$tmp/volunteer.out" volunteer 20 "$volunteer" >/dev/null || wrong "our volunteer did not start" || return 1
    via=(--via "$tmp/invitation" --via-bind 127.0.0.1)
}

# carried NAME: whether the volunteer carried somebody; reports the conversation.
carried() {
    grep -q '"event":"relaying"' "$tmp/volunteer.out" || wrong "the volunteer carried nobody" || return 1
    report "$1" "$verdict" "$ours"
}

via_zebra() {
    introduced || return 1
    start zebra "$zebra_peer" serve --chain testnet --count 1
    local server=$pid
    addr=$(seen wait "$tmp/zebra.out" listening 20 "$server" | seen get addr) || wrong "zebra did not start" || return 1
    probe testnet "zec://$addr" "${via[@]}" || return 1
    ours=$(seen wait "$tmp/zebra.out" peer 5 "$server") || wrong "zebra greeted nobody" || return 1
    carried via-zebra
}

via_dcrd() {
    local server
    introduced || return 1
    dcrd_listens "$dcrd" || return 1
    probe simnet "dcr://$addr" "${via[@]}" || return 1
    pid=$server
    dcrd_saw || return 1
    carried via-dcrd
}

via_geth() {
    introduced || return 1
    geth_listens geth || return 1
    probe private "$enode" "${tables[@]}" "${via[@]}" || return 1
    geth_saw geth "$server" || return 1
    carried via-geth
}

# A thousand connections with --long, else enough to see that it holds.
relayed_many() {
    local count=120 result code=0
    [ $long = no ] || count=1000
    start soak python3 "$here/inproxy/soak.py" "$peerage" --count $count
    finish "$pid" $((lifetime - 10)) || code=$?
    result=$(<"$tmp/soak.out")
    [ $code = 0 ] || wrong "connections through volunteers: $result" || return 1
    printf 'ok   %-20s %s connections, told of a stopped volunteer after %s\n' relayed-many $count \
        "$(seen get told_after_s <<<"$result")"
}
