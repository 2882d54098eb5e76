#!/usr/bin/env bash
# Installs the distribution packages that are named on the command line as sets:
#   deploy/packages.sh build          what the programs need to be built
#   deploy/packages.sh build test     what the tests need besides
#   deploy/packages.sh package        what a Debian package is made with
#   deploy/packages.sh deployment     what tests of deploy/ run: containers, Prometheus, nginx
#   deploy/packages.sh arm64          what tests/arm64.sh builds and runs arm64 programs with
# Only what is missing is installed; says plainly what it cannot install and exits 1.
# Debian 12 and Ubuntu 24.04 carry all of these under the same names.
set -euo pipefail

build=(g++ cmake ninja-build ccache pkg-config
       libgrpc++-dev protobuf-compiler-grpc protobuf-compiler libprotobuf-dev
       libabsl-dev prometheus-cpp-dev libhwy-dev libxxhash-dev libssl-dev libcpp-httplib-dev libhiredis-dev
       nlohmann-json3-dev)
test=(libgtest-dev libgmock-dev libbenchmark-dev libdnnl-dev libboost-context-dev
      clang clang-tidy clang-format libclang-rt-dev
      python3 python3-pip python3-grpcio python3-protobuf python3-yaml redis-server openssl xz-utils curl git)
package=(file dpkg-dev)
deployment=(buildah podman runc catatonit mmdebstrap prometheus nginx-light docker-compose systemd)
arm64=(g++-aarch64-linux-gnu qemu-user-static)

wanted=()
for set in "$@"; do
  case "$set" in
    build) wanted+=("${build[@]}") ;;
    test) wanted+=("${test[@]}") ;;
    package) wanted+=("${package[@]}") ;;
    deployment) wanted+=("${deployment[@]}") ;;
    arm64) wanted+=("${arm64[@]}") ;;
    *) echo "packages.sh: no such set of packages: $set (want build, test, package, deployment or arm64)" >&2; exit 1 ;;
  esac
done

if ! command -v dpkg-query >/dev/null; then
  echo "packages.sh: this is not Debian or Ubuntu (no dpkg). Install the equivalents of:" >&2
  echo "  ${wanted[*]}" >&2
  exit 1
fi

missing=()
for package in "${wanted[@]}"; do
  state=$(dpkg-query -W -f='${Status}' "$package" 2>/dev/null || true)
  [ "$state" = "install ok installed" ] || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null; then
    echo "packages.sh: these packages are missing, and neither root nor sudo is at hand:" >&2
    echo "  ${missing[*]}" >&2
    exit 1
  fi
  as_root=(sudo)
fi
echo "Installing with apt: ${missing[*]}"
log=$(mktemp)
if ! { "${as_root[@]}" apt-get update -qq &&
       "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
         apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
  cat "$log" >&2
  echo "packages.sh: apt could not install the packages above." >&2
  exit 1
fi
rm -f "$log"
