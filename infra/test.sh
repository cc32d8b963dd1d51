#!/usr/bin/env bash
# Everything that can be known of the CDK app without an account: types, tests, one synthesis with all of CDK's own
# rules and cdk-nag's packs, and cfn-lint on the templates. Sets itself up; what it installs goes to node_modules and
# target/tools. Needs Node 20 or newer, and Python 3 with venv.
set -euo pipefail
cd "$(dirname "$0")"

CFN_LINT=1.51.0

fail() {
    echo "infra: $*" >&2
    exit 1
}

command -v npm >/dev/null || fail "npm is missing; get it with: sudo apt-get install -y npm"
[ "$(node -p 'process.versions.node.split(".")[0]')" -ge 20 ] || fail "Node 20 or newer is needed, this is $(node --version)"
# Installed anew only when the lock file changed.
if ! cmp --silent package-lock.json node_modules/.installed; then
    npm ci --no-audit --no-fund
    cp package-lock.json node_modules/.installed
fi
if grep -q '"resolved"' package-lock.json; then
    fail "package-lock.json names download hosts: run npm install with this folder's .npmrc"
fi

echo "-- types"
npx tsc

echo "-- tests"
npx vitest run

echo "-- synthesis with every rule"
work=$PWD/../target/infra
rm -rf "$work"
mkdir -p "$work"
node --import tsx test/stub-binaries.ts "$work/binaries"
# The smallest deployment, and one with every setting.
npx cdk synth --quiet --output "$work/example" -c config=connectors.example.yaml -c binaries="$work/binaries"
npx cdk synth --quiet --output "$work/full" -c config=connectors.example.yaml -c deployment=deployment.example.yaml -c binaries="$work/binaries"

echo "-- cfn-lint"
tools=$PWD/../target/tools/cfn-lint-$CFN_LINT
if [ ! -x "$tools/bin/cfn-lint" ]; then
    python3 -m venv "$tools" || fail "python3 needs its venv module: sudo apt-get install -y python3-venv"
    "$tools/bin/pip" install --quiet "cfn-lint==$CFN_LINT"
fi
# W3005: CDK says of some dependencies twice that they are.
"$tools/bin/cfn-lint" --ignore-checks W3005 -- "$work"/*/*.template.json
echo "infra: all good"
