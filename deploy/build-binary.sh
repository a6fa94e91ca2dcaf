#!/usr/bin/env bash
# Builds the static binary and prints where it is.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
target=x86_64-unknown-linux-gnu

# With --target, RUSTFLAGS do not reach build scripts and proc macros, which cannot be static, and the output stays
# apart from that of an ordinary build.
(cd "$root" && RUSTFLAGS="-C target-feature=+crt-static" \
    cargo build --release --locked --bin ftqueue --target "$target" >&2)
echo "${CARGO_TARGET_DIR:-$root/target}/$target/release/ftqueue"
