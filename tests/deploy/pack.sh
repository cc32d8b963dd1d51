#!/usr/bin/env bash
# Packs the functions of the development build, for a deployment on the emulator that needs no release build:
#
#   tests/deploy/pack.sh FOLDER     makes FOLDER/<function>/bootstrap.zip
set -euo pipefail
cd "$(dirname "$0")/../.."

# These are not built for size: releases have half as much.
zip="import zipfile; zipfile.ZipFile('bootstrap.zip', 'w', zipfile.ZIP_DEFLATED, compresslevel=6).write('bootstrap')"
folder=${1:?name the folder for the packages}
# Together with the tests: alone, the binaries have other features of their dependencies, which are built anew then.
cargo build --workspace --bins --tests
for function in functions/*/; do
    name=$(basename "$function")
    mkdir -p "$folder/$name"
    strip -o "$folder/$name/bootstrap" "target/debug/$name"
    (cd "$folder/$name" && python3 -c "$zip" && rm bootstrap)
done
