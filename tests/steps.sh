# Sourced by run.sh and arm64.sh, in the root of the tree: steps that are counted, and the last line.

jobs=$(nproc)
# The distribution's, also where pip's comes first: it writes the same command lines as the
# container's, whose compilations are then found in the cache.
cmake=/usr/bin/cmake
[ -x "$cmake" ] || cmake=cmake
# Where compilations are cached: equal ones of another checkout or language count, those with
# precompiled headers as well.
export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1 CCACHE_SLOPPINESS=locale,pch_defines,time_macros
passed=0
failed=0
failures=()

# step NAME COMMAND...: runs it, times it, counts it; the run goes on after a failure. Status 77
# is neither: what the command needs cannot be had here, which it has said.
step() {
  local name=$1 begin=$SECONDS status=0
  shift
  echo "== $name"
  "$@" || status=$?
  case "$status" in
    0)
      passed=$((passed + 1))
      echo "== $name: passed in $((SECONDS - begin)) s"
      ;;
    77) echo "== $name: LEFT OUT, see above" ;;
    *)
      failed=$((failed + 1))
      failures+=("$name")
      echo "== $name: FAILED after $((SECONDS - begin)) s"
      ;;
  esac
}

# quietly LOG COMMAND...: what it says goes to a file, whose end is shown where it fails.
quietly() {
  local log=$1
  shift
  "$@" >>"$log" 2>&1 || {
    tail -60 "$log" >&2
    return 1
  }
}

# With tests, whatever the folder was made for: quickstart.sh leaves them out.
configure() {  # configure FOLDER CMAKE_ARGUMENT...
  local folder=$1
  shift
  mkdir -p "$folder" && : >"$folder/build.log" &&
    quietly "$folder/build.log" "$cmake" -S . -B "$folder" -G Ninja -DTLIN_TESTS=ON "$@"
}

# What both say is kept in the folder's build.log.
build() {  # build FOLDER TARGET CMAKE_ARGUMENT...
  local folder=$1 target=$2
  shift 2
  configure "$folder" "$@" &&
    quietly "$folder/build.log" "$cmake" --build "$folder" --target "$target" -j "$jobs"
}

# Every ctest test counts by itself. ctest's report is kept beside the build.
run_ctest() {  # run_ctest FOLDER CTEST_ARGUMENT...
  local folder=$1 report
  shift
  report=$folder/ctest.log
  ctest --test-dir "$folder" --no-tests=error --output-on-failure -j "$jobs" "$@" 2>&1 | tee "$report"
  local status=${PIPESTATUS[0]}
  passed=$((passed + $(grep -cE '^ *[0-9]+/[0-9]+ Test .* Passed ' "$report")))
  return "$status"
}

# The one line for a person; its status is that of the run.
summary() {
  local name
  for name in "${failures[@]:-}"; do
    [ -n "$name" ] && echo "failed: $name"
  done
  echo "$passed passed, $failed failed"
  [ "$failed" -eq 0 ]
}
