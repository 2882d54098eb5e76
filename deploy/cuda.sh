#!/usr/bin/env bash
# Fetches what the CUDA backend is built with, for which distributions have no package: NVIDIA's
# compiler, headers and cuBLAS 13.0, as PyPI has them (0.5 GB), into a folder whose name it prints:
#   deploy/cuda.sh [FOLDER]   (default: ~/.cache/tlin/cuda-13.0)
# Exits with 77 where they cannot be had: no pip, no network, not x86-64.
set -euo pipefail
folder=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/tlin/cuda-13.0}
requirements=$(cd "$(dirname "$0")" && pwd)/cuda-requirements.txt

cannot() {
  echo "cuda.sh: $1: the CUDA backend is left out" >&2
  exit 77
}

if [ ! -f "$folder/complete" ]; then
  [ "$(uname -m)" = x86_64 ] || cannot "only x86-64 is fetched for"
  pip=
  for python in python3 /usr/bin/python3; do
    "$python" -m pip --version >/dev/null 2>&1 && pip=$python && break
  done
  [ -n "$pip" ] || cannot "there is no pip"
  wheels=$(mktemp -d)
  trap 'rm -rf "$wheels"' EXIT
  echo "Fetching CUDA 13.0 from PyPI" >&2
  "$pip" -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes \
    --dest "$wheels" -r "$requirements" >&2 || cannot "PyPI did not give it"
  for wheel in "$wheels"/*.whl; do
    /usr/bin/python3 -m zipfile -e "$wheel" "$wheels/all"
  done
  rm -rf "$folder"
  mkdir -p "$(dirname "$folder")"
  mv "$wheels/all/nvidia/cu13" "$folder"
  chmod +x "$folder"/bin/* "$folder"/nvvm/bin/*
  touch "$folder/complete"
fi
echo "$folder"
