#!/usr/bin/env bash
# Builds for arm64 with a cross compiler and runs tests under qemu, on a machine of another kind.
# What is emulated is slow: the tests that say most about the processor, and the programs.
# The arm64 libraries are unpacked into build-arm64/root: nothing of this machine's own is touched.
#   tests/arm64.sh              the kernels, what reads bytes, the programs
#   tests/arm64.sh --kernels    the kernels only, as tests/run.sh does: less than half of the time
# Ends with one line for a person: "N passed, N failed". Exits with 77 where what it needs
# cannot be had.
set -uo pipefail
cd "$(dirname "$0")/.."

kernels_only=false
case "${1:-}" in
  "") ;;
  --kernels) kernels_only=true ;;
  -h|--help) sed -n '2,8s/^# //p' "$0"; exit 0 ;;
  *) echo "arm64.sh: no such option: $1 (see --help)" >&2; exit 2 ;;
esac
if [ "$(uname -m)" = aarch64 ]; then
  echo "arm64.sh: this machine is arm64 itself: tests/run.sh shows more" >&2
  exit 77
fi
. tests/steps.sh

folder=build-arm64
root=$PWD/$folder/root
# What the programs and tests are linked with; protobuf-compiler-grpc because gRPC's CMake
# files look for the plugin, though the one that runs is this machine's.
libraries=(libgrpc++-dev libprotobuf-dev protobuf-compiler-grpc libabsl-dev prometheus-cpp-dev
           libhwy-dev libxxhash-dev libcpp-httplib-dev libhiredis-dev nlohmann-json3-dev
           libgtest-dev libgmock-dev)

# apt with lists, cache and status of its own, as if on an arm64 machine with nothing installed.
apt_arm64() {
  local apt=$PWD/$folder/apt setting options=()
  mkdir -p "$apt/lists/partial" "$apt/archives/partial"
  : >"$apt/status"
  for setting in APT::Architecture=arm64 APT::Architectures=arm64 APT::Install-Recommends=false \
                 APT::Sandbox::User="$(id -un)" Dir::State="$apt" Dir::State::Lists="$apt/lists" \
                 Dir::State::status="$apt/status" Dir::Cache="$apt" \
                 Dir::Cache::archives="$apt/archives"; do
    options+=(-o "$setting")
  done
  # Debian's mirrors carry every architecture, Ubuntu's have arm64 elsewhere.
  if (. /etc/os-release; [ "$ID" = ubuntu ]); then
    local release pocket
    release=$(. /etc/os-release; echo "$VERSION_CODENAME")
    for pocket in "" -updates -security; do
      echo "deb [signed-by=/usr/share/keyrings/ubuntu-archive-keyring.gpg]" \
           "http://ports.ubuntu.com/ubuntu-ports $release$pocket main universe"
    done >"$apt/sources.list"
    options+=(-o Dir::Etc::sourcelist="$apt/sources.list" -o Dir::Etc::sourceparts=/dev/null)
  fi
  apt-get "${options[@]}" "$@"
}

# A link that begins at the root of an arm64 machine ends within the folder.
mend_links() {
  local link
  find "$root" -type l -lname '/*' | while read -r link; do
    ln -sfn "$(realpath -sm --relative-to="$(dirname "$link")" "$root$(readlink "$link")")" "$link"
  done
}

unpack_libraries() {
  local package
  rm -rf "$root" && mkdir -p "$root/usr/lib" "$root/usr/bin" "$folder/apt/archives" || return 1
  ln -s usr/lib "$root/lib" && ln -s usr/bin "$root/bin" || return 1
  rm -f "$folder"/apt/archives/*.deb
  apt_arm64 update -q || echo "some package lists could not be fetched; what there is may do"
  apt_arm64 install -q -y --download-only "${libraries[@]}" || return 1
  for package in "$folder"/apt/archives/*.deb; do
    dpkg-deb --fsys-tarfile "$package" | tar -x -C "$root" --keep-directory-symlink || return 1
  done
  mend_links && rm -rf "$folder/apt"
}

# Headers have to be of the version of this machine's protoc: unpacked again where that changes.
have_libraries() {
  local wanted
  wanted="${libraries[*]} $(dpkg-query -W -f='${Package} ${Version} ' protobuf-compiler \
                              protobuf-compiler-grpc)"
  [ "$(cat "$root.made" 2>/dev/null)" = "$wanted" ] && return
  rm -f "$root.made"
  : >"$folder/libraries.log"
  quietly "$folder/libraries.log" unpack_libraries || {
    echo "arm64.sh: the arm64 packages could not be had, see above: ${libraries[*]}" >&2
    return 1
  }
  echo "$wanted" >"$root.made"
}

# The kernels, the small goldens and two random models of them. Attention in f32, of which the
# goldens are full, is half of the kernels' time.
targets=(tlin_backend_test tlin_golden_test tlin_model_test)
tests='tlin_backend_test(_rest)?|tlin_(golden|model)_test_neon'
# What reads bytes; and integration_greedy: tlind and tlin themselves, the demo models' text as on
# x86-64.
if $kernels_only; then
  export GTEST_FILTER='-All/AttentionTest.*/f32:All/RowIndependenceTest.*/f32'
else
  targets+=(tlind tlin tlin_tokenizer_test)
  tests+='|tlin_tokenizer_test|integration_greedy'
fi

# Without debug information, which takes time and says nothing here.
build_arm64() {
  configure "$folder" -DCMAKE_TOOLCHAIN_FILE="$PWD/tests/arm64.cmake" -DCMAKE_SYSROOT="$root" \
    -DCMAKE_CXX_FLAGS_RELWITHDEBINFO=-O2 &&
    quietly "$folder/build.log" cmake --build "$folder" -j "$jobs" --target "${targets[@]}"
}

run_emulated() {
  run_ctest "$folder" -R "^($tests)\$"
}

deploy/packages.sh build test arm64 || exit 77
mkdir -p "$folder"
have_libraries || exit 77
step "build for arm64" build_arm64
[ "$failed" -eq 0 ] && step "tests under qemu" run_emulated
echo "Left out, for time: the 41M and long goldens, the tests of the engine's loop, server and clients,"
echo "the allocation tests, the demo models' perplexity, the other integration tests. Any of them:"
echo "  cmake --build $folder && ctest --test-dir $folder -R NAME"
summary
