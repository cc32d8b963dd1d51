#!/usr/bin/env bash
# The deployment on an AWS emulator, with the real binaries:
#
#   tests/deploy/run.sh [ARGUMENTS OF run.py]
#
# Builds the packages of the functions (x86_64) unless --binaries names their folder, and the command unless --vulnrelay
# names it. Sets itself up below target/tools and infra/node_modules. Needs Python 3 with venv, Node 20 and npm.
set -euo pipefail
cd "$(dirname "$0")/../.."

fail() {
    echo "deploy: $*" >&2
    exit 1
}

tools=target/tools/deploy
if ! cmp --silent tests/deploy/requirements.txt "$tools/requirements.txt"; then
    python3 -m venv "$tools" || fail "python3 needs its venv module: sudo apt-get install -y python3-venv"
    "$tools/bin/pip" install --quiet -r tests/deploy/requirements.txt
    cp tests/deploy/requirements.txt "$tools/requirements.txt"
fi
command -v npm >/dev/null || fail "npm is missing; get it with: sudo apt-get install -y npm"
if ! cmp --silent infra/package-lock.json infra/node_modules/.installed; then
    (cd infra && npm ci --no-audit --no-fund && cp package-lock.json node_modules/.installed)
fi
(cd tests/deploy && "../../$tools/bin/python" -m unittest --quiet)
case " $* " in
*" --binaries "*) ;;
*) infra/build.sh x86_64 ;;
esac
case " $* " in
*" --vulnrelay "*) ;;
*) cargo build --quiet ;;
esac
exec "$tools/bin/python" tests/deploy/run.py "$@"
