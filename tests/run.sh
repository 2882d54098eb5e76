#!/usr/bin/env bash
# Installs what is missing, builds, and runs everything that proves the project right:
#   tests/run.sh            all of the below
#   tests/run.sh --quick    the build, its tests and the format only
# Ends with one line for a person: "N passed, N failed".
set -uo pipefail
cd "$(dirname "$0")/.."

quick=false
case "${1:-}" in
  "") ;;
  --quick) quick=true ;;
  -h|--help) sed -n '2,5s/^# //p' "$0"; exit 0 ;;
  *) echo "run.sh: no such option: $1 (see --help)" >&2; exit 2 ;;
esac

. tests/steps.sh

format_check() {
  git ls-files '*.h' '*.cc' '*.cu' | xargs clang-format --dry-run -Werror
}

# On the committed seeds and what it makes of them.
run_fuzzer() {
  local fuzzer=$1 found=$1.found seeds=${1##*/tlin_}
  mkdir -p "$found"
  "$fuzzer" -max_total_time=20 -max_len=16384 -rss_limit_mb=2048 -timeout=10 \
    -artifact_prefix="$found/" "$found" "tests/fuzz_seeds/${seeds%_fuzzer}" >"$fuzzer.log" 2>&1 || {
    echo "$fuzzer failed:" >&2
    tail -40 "$fuzzer.log" >&2
    return 1
  }
}

# All beside each other, for a few seconds.
fuzz() {
  build build-fuzz tlin_fuzzers -DTLIN_FUZZ=ON -DTLIN_SANITIZE=address \
    -DCMAKE_CXX_COMPILER=clang++ || return 1
  local fuzzer running=() status=0
  for fuzzer in build-fuzz/fuzz/*_fuzzer; do
    echo "$fuzzer, 20 seconds"
    run_fuzzer "$fuzzer" &
    running+=($!)
  done
  for fuzzer in "${running[@]}"; do
    wait "$fuzzer" || status=1
  done
  return "$status"
}

if ! deploy/packages.sh build test package deployment; then
  echo "0 passed, 1 failed"
  exit 1
fi

# Empty: nothing of CUDA is built or tested.
cuda=
fetch_cuda() {
  cuda=$(deploy/cuda.sh)
}
step "CUDA's compiler and headers" fetch_cuda

step "build" build build all -DCMAKE_BUILD_TYPE=RelWithDebInfo "-DTLIN_CUDA_ROOT=$cuda"
[ "$failed" -eq 0 ] && step "tests" run_ctest build
step "format" format_check
if ! $quick && [ "$failed" -eq 0 ]; then
  step "clang-tidy" python3 tests/checks/tidy.py build
  step "build with address and undefined-behaviour sanitizers" build build-asan all \
    -DTLIN_SANITIZE=address -DCMAKE_CXX_COMPILER=clang++ "-DTLIN_CUDA_ROOT=$cuda"
  step "tests with address and undefined-behaviour sanitizers" run_ctest build-asan -LE heavy
  # tests/sanitizers/ tells the sanitizer what libabsl and libgrpc do.
  step "build with thread sanitizer" build build-tsan all \
    -DTLIN_SANITIZE=thread -DCMAKE_CXX_COMPILER=clang++ "-DTLIN_CUDA_ROOT=$cuda"
  # It would wait a second at the end of each process for threads that are not joined.
  TSAN_OPTIONS="suppressions=$PWD/tests/tsan_suppressions.txt atexit_sleep_ms=0" \
    step "tests with thread sanitizer" run_ctest build-tsan -LE heavy
  step "fuzzers" fuzz
  step "arm64's kernels, under qemu" tests/arm64.sh --kernels
  step "the container image and the Debian package" tests/container/run.sh
fi

summary
