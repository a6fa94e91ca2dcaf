#!/usr/bin/env bash
# Builds the static binary and an image that holds nothing else.
#
#   deploy/build-image.sh [TAG]                          the tag is `ftqueue` unless given
#   FTQUEUE_BINARY=FILE deploy/build-image.sh [TAG]      packs a static binary that is there already
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tag=${1:-ftqueue}

binary=${FTQUEUE_BINARY:-}
[ -n "$binary" ] || binary=$("$root/deploy/build-binary.sh")

# A dynamic binary would build into the image and fail only there, with "no such file or directory".
if ! ldd "$binary" 2>&1 | grep -qE 'statically linked|not a dynamic executable'; then
    echo "$binary is not a static binary: build it with -C target-feature=+crt-static" >&2
    exit 1
fi

context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
mkdir "$context/data"
cp "$binary" "$context/ftqueue"
# The binary may come from anywhere, with any mode; the user in the image is not its owner.
chmod 0755 "$context/ftqueue"
docker build --quiet --tag "$tag" --file "$root/deploy/Dockerfile" "$context"
