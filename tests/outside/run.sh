#!/usr/bin/env bash
# Uses a cluster from outside, as its users do: with grpcurl and with a Python client generated from proto/.
#
#   tests/outside/run.sh [BINARY]        BINARY is target/release/ftqueue unless given
#
# Installs both into target/outside. Prints each check that fails, then `N passed, N failed`.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
here=$root/tests/outside
target=${CARGO_TARGET_DIR:-$root/target}
work=$target/outside
binary=$(realpath "${1:-$target/release/ftqueue}")

# Made anew when what is to be in it changes, and when the last try did not get to its end.
if ! cat "$here/requirements.txt" "$here/grpcurl.txt" | cmp --silent - "$work/installed"; then
    rm -rf "$work"
    python3 -m venv "$work/venv"
    "$work/venv/bin/pip" install --quiet --requirement "$here/requirements.txt"
    "$work/venv/bin/pip" install --quiet --require-hashes --requirement "$here/grpcurl.txt"
    cat "$here/requirements.txt" "$here/grpcurl.txt" >"$work/installed"
fi

rm -rf "$work/generated"
mkdir -p "$work/generated"
"$work/venv/bin/python" -m grpc_tools.protoc --proto_path="$root/proto" \
    --python_out="$work/generated" --grpc_python_out="$work/generated" \
    ftqueue/v1/ftqueue.proto

cd "$root"
PATH=$work/venv/bin:$PATH PYTHONPATH=$work/generated PYTHONDONTWRITEBYTECODE=1 \
    exec "$work/venv/bin/python" "$here/run.py" "$binary" "$work"
