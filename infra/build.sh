#!/usr/bin/env bash
# Builds the packages of the functions into target/lambda/<function>/bootstrap.zip:
#
#   infra/build.sh [arm64|x86_64] [FUNCTION...]
#
# arm64 unless said otherwise, like the deployment; every function unless some are named. Brings its own cargo-lambda and
# zig, below target/tools, so that only Rust and Python 3 with venv have to be there.
set -euo pipefail
cd "$(dirname "$0")/.."

CARGO_LAMBDA=1.9.2
ZIG=0.17.1
MAX_ZIP=$((8 * 1024 * 1024))

fail() {
    echo "build: $*" >&2
    exit 1
}

architecture=arm64
case "${1:-}" in
arm64 | x86_64)
    architecture=$1
    shift
    ;;
esac
functions=("$@")
if [ ${#functions[@]} -eq 0 ]; then
    for folder in functions/*/; do
        functions+=("$(basename "$folder")")
    done
fi

tools=target/tools/cargo-lambda-$CARGO_LAMBDA
if [ ! -x "$tools/bin/cargo-lambda" ]; then
    python3 -m venv "$tools" || fail "python3 needs its venv module: sudo apt-get install -y python3-venv"
    "$tools/bin/pip" install --quiet "cargo-lambda==$CARGO_LAMBDA" "ziglang==$ZIG"
fi
PATH="$PWD/$tools/bin:$PATH"

target=$([ "$architecture" = arm64 ] && echo aarch64-unknown-linux-gnu || echo x86_64-unknown-linux-gnu)
if [ ! -d "$(rustc --print sysroot)/lib/rustlib/$target" ]; then
    fail "Rust cannot build for $architecture here: rustup target add $target (or build for the other one: infra/build.sh x86_64)"
fi

packages=()
for function in "${functions[@]}"; do
    [ -d "functions/$function" ] || fail "there is no functions/$function"
    packages+=(--package "$function")
done
flag=$([ "$architecture" = arm64 ] && echo --arm64 || echo --x86-64)
cargo lambda build --release --output-format zip "$flag" "${packages[@]}"

for function in "${functions[@]}"; do
    zip=target/lambda/$function/bootstrap.zip
    [ -f "$zip" ] || fail "$zip was not built: the binary has to be called $function"
    size=$(wc -c <"$zip")
    [ "$size" -le $MAX_ZIP ] || fail "$zip has $size bytes, a package may have $MAX_ZIP"
    printf '%9d %s\n' "$size" "$zip"
done
