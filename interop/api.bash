# The interface for programs, and the clients of examples/ in three languages. Part of interop/run,
# which reads this file; what it uses and does not define is there.
#
# `peerage demo --serve` is the daemon. Each client sees a world of it, asks the one peer there that
# answers questions, loses its connection, and then the daemon.

api_clients=(python go rust)
declare -A api_command

# ---- building ---------------------------------------------------------------------------------

build_api() {
    need go "to build the client in Go"
    local examples=$root/examples proto=("$root"/crates/api/proto/peerage/v1/*.proto) inputs
    api_python=$cache/api-python/bin/python

    inputs=$(stamp "$(python3 --version)" "$examples/python/requirements.txt")
    if ! cached api-python "$inputs" "$api_python"; then
        logged api-python api_environment "$examples/python/requirements.txt"
        printf '%s\n' "$inputs" >"$cache/api-python.stamp"
    fi

    inputs=$(stamp "$inputs" "$examples/python/generate" "${proto[@]}")
    if ! cached api-generated "$inputs" "$examples/python/generated"; then
        logged api-generated "$api_python" "$examples/python/generate"
        printf '%s\n' "$inputs" >"$cache/api-generated.stamp"
    fi

    local watch=$cache/bin/api-watch
    inputs=$(stamp "$(go version) $inputs" "$examples"/go/{go.mod,go.sum,main.go,generate})
    if ! cached api-go "$inputs" "$watch"; then
        logged api-go env -C "$examples/go" GOTOOLCHAIN=local CGO_ENABLED=0 \
            GOFLAGS="-mod=readonly -buildvcs=false" bash -c './generate "$1" && go build -o "$2" .' - "$api_python" "$watch"
        printf '%s\n' "$inputs" >"$cache/api-go.stamp"
    fi

    need cargo "to build the client in Rust"
    logged api-rust cargo build --package peerage-api --example watch --manifest-path "$root/Cargo.toml"

    api_command=([python]="$api_python $examples/python/watch.py" [go]=$watch [rust]=$target/debug/examples/watch)
}

# api_environment REQUIREMENTS: Python packages in a folder of their own.
api_environment() {
    rm -rf "$cache/api-python" &&
        python3 -m venv "$cache/api-python" &&
        "$api_python" -m pip install --disable-pip-version-check --no-input --only-binary :all: -r "$1"
}

# ---- helpers ----------------------------------------------------------------------------------

# api_daemon NAME PLACE [FLAG...]: a small world with its interface there; leaves $daemon.
api_daemon() {
    local name=$1 place=$2
    shift 2
    start "$name" "$peerage" demo --json --serve "$place" "$@"
    daemon=$pid
    seen wait "$tmp/$name.out" serving 30 "$daemon" >/dev/null || wrong "the demo does not serve at $place" || return 1
}

# api_said FILE SECONDS PATTERN: waits until each client has said so.
api_said() {
    local language
    for language in "${api_clients[@]}"; do
        seen wait-dcrd "$tmp/$language.out" "$2" "$1" "${client[$language]}" >/dev/null ||
            wrong "the client in $language did not say '$2'" || return 1
    done
}

# api_listed PLACE [FLAG...]: reflection tells of the services, with nothing generated.
api_listed() {
    local place=$1 one
    shift
    start services "$api_python" "$root/examples/python/services.py" "$place" "$@"
    finish "$pid" 30 || wrong "reflection does not answer" || return 1
    for one in peerage.v1.Daemon grpc.health.v1.Health '  Subscribe(SubscribeRequest) gives stream of Item'; do
        grep -qxF -- "$one" "$tmp/services.out" || wrong "reflection does not list '$one'" || return 1
    done
    printf 'ok   %-20s reflection lists %s\n' "$name-list" "$(grep -v '^ ' "$tmp/services.out" | tr '\n' ' ')"
}

# api_all NAME PLACE RELAY [FLAG...]: the conversation. PLACE is the daemon's, RELAY that of the cable
# to it; the flags are for all who take part.
api_all() {
    local name=$1 place=$2 cable=$3 language daemon relay began
    local -A client
    # Of those who stay from the beginning to the end, on a machine with much else to do.
    local lifetime=300
    shift 3
    api_daemon daemon-1 "$place" "$@" || return 1
    start relay python3 "$here/api/relay.py" "$cable" "$place"
    # What we start is a `timeout` around it, which passes no such signal on.
    relay=$(seen wait "$tmp/relay.out" listening 10 "$pid" | seen get pid) || wrong "there is no cable" || return 1
    api_listed "$place" "$@" || return 1

    for language in "${api_clients[@]}"; do
        # Options first: Go wants them there. The one who answers calls itself so.
        # shellcheck disable=SC2086
        start "$language" ${api_command[$language]} --agent Munchausen --events 20 --resumes 1 --restarts 1 "$@" "$cable"
        client[$language]=$pid
    done
    api_said 60 '^node ethereum' && api_said 60 '^event \d+ \w+ established' && api_said 60 '^answer addr' || return 1
    printf 'ok   %-20s each client has seen three nodes, events, and the answer of a peer\n' "$name-watch"

    kill -USR1 "$relay"
    seen where "$tmp/relay.out" 0 10 "$relay" type=pulled 'connections>=3' >/dev/null || wrong "not all had come by the cable" || return 1
    api_said 60 '^lost: ' && api_said 60 '^lease taken up after item' || return 1
    printf 'ok   %-20s cut off, each has taken up its lease\n' "$name-resume"

    began=$(now_ms)
    kill_hard "$daemon"
    api_said 60 '^lost: .*; again in (0\.5|500)' || return 1
    api_daemon daemon-2 "$place" "$@" || return 1
    for language in "${api_clients[@]}"; do
        finish "${client[$language]}" 90 || wrong "the client in $language has not survived the daemon" || return 1
        grep -q '^a new daemon' "$tmp/$language.out" || wrong "the client in $language saw no new daemon" || return 1
        grep -qE '^done: [0-9]+ events, 1 resumed, 1 restarts' "$tmp/$language.out" ||
            wrong "the client in $language: $(tail -n 1 "$tmp/$language.out")" || return 1
        grep -q '^missed\|lease has run out' "$tmp/$language.out" && { wrong "the client in $language lost items"; return 1; }
    done
    printf 'ok   %-20s the daemon killed and started again, each went on; %s s\n' "$name-restart" "$(seconds_since "$began")"
}

# ---- conversations ----------------------------------------------------------------------------

api_over_unix() { api_all api-unix "unix:$tmp/api.sock" "unix:$tmp/cable.sock"; }

api_over_tcp() {
    local ports language code
    read -ra ports <<<"$(free_ports 2)"
    (umask 077 && printf 'a-token-of-%s\n' "$(date +%s%N)" >"$tmp/token")
    api_all api-tcp "127.0.0.1:${ports[0]}" "127.0.0.1:${ports[1]}" --token-file "$tmp/token" || return 1

    # Without the token nobody gets in, and nobody tries again.
    for language in "${api_clients[@]}"; do
        # shellcheck disable=SC2086
        start "$language-stranger" ${api_command[$language]} --events 1 "127.0.0.1:${ports[0]}"
        code=0
        finish "$pid" 20 || code=$?
        [ $code = 1 ] || wrong "the client in $language has no token, and ended with $code" || return 1
        grep -q 'refused: ' "$tmp/$language-stranger.err" || wrong "the client in $language does not say that it was refused" || return 1
    done
    printf 'ok   %-20s without the token each is refused, and says so\n' api-tcp-token
}

api_held=(api_over_unix api_over_tcp)
