#!/usr/bin/env bash
# What the Dockerfile's builders run, and what can be run without a container engine:
#   deploy/image/build.sh BUILD_FOLDER ROOT [CMAKE_ARGUMENT...]
# Builds the programs and installs them, stripped, into the tree ROOT.
set -euo pipefail
cd "$(dirname "$0")/../.."
build=$1
root=$(realpath -m "$2")
shift 2
# Where compilations are cached: equal ones of another checkout or language count.
export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1 CCACHE_SLOPPINESS=locale
# The distribution's, as in the image, also where pip's comes first: equal command lines.
cmake=/usr/bin/cmake
[ -x "$cmake" ] || cmake=cmake
"$cmake" -S . -B "$build" -G Ninja -DTLIN_TESTS=OFF -DCMAKE_INSTALL_PREFIX=/usr "$@"
"$cmake" --build "$build"
rm -rf "$root"
DESTDIR="$root" "$cmake" --install "$build" --strip
