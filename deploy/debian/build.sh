#!/usr/bin/env bash
# Writes the Debian package of what a build folder holds:
#   deploy/debian/build.sh BUILD_FOLDER FILE
set -euo pipefail
file=$(realpath -m "$2")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$1"
cpack -B "$scratch" >"$scratch/log" || { cat "$scratch/log" >&2; exit 1; }
mkdir -p "$(dirname "$file")"
mv "$scratch"/*.deb "$file"
