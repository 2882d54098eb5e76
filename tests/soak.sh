#!/usr/bin/env bash
# Sessions for half an hour: turns, forks, cancels, moves, restarts and kills of tlind. Every
# session is compared with what it was told, counts add up, memory stays flat.
#   tests/soak.sh                  30 minutes
#   tests/soak.sh --seconds=30     as tests/run.sh does
# Builds what it needs. Exits with 0 where all of it held.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=1800
case "${1:-}" in
  "") ;;
  --seconds=*) seconds=${1#--seconds=} ;;
  -h|--help) sed -n '2,6s/^# //p' "$0"; exit 0 ;;
  *) echo "soak.sh: no such option: $1 (see --help)" >&2; exit 2 ;;
esac

. tests/steps.sh
deploy/packages.sh build test
build build tlind -DCMAKE_BUILD_TYPE=RelWithDebInfo
TLIN_BIN=$PWD/build/bin /usr/bin/python3 tests/integration/session_soak_test.py "--seconds=$seconds"
