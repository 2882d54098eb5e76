#!/usr/bin/env bash
# On a machine with an NVIDIA GPU: builds, runs the CUDA backend's tests on it, under
# compute-sanitizer too where there is one, and measures:
#   tests/gpu/run.sh [FOLDER]    report.json and report.md go to FOLDER (build-gpu/report)
# Exits with 77, having said so, where there is no GPU.
set -uo pipefail
cd "$(dirname "$0")/../.."
report=${1:-build-gpu/report}

if ! device=$(nvidia-smi --query-gpu=name --format=csv,noheader --id=0 2>/dev/null); then
  echo "tests/gpu/run.sh: there is no NVIDIA GPU here (nvidia-smi finds none)" >&2
  exit 77
fi
echo "GPU 0: $device"

. tests/steps.sh
if ! deploy/packages.sh build test || ! cuda=$(deploy/cuda.sh); then
  echo "0 passed, 1 failed"
  exit 1
fi
capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader --id=0 | tr -d .)
programs=build-gpu/gpu

sanitized() {  # sanitized TOOL: kernels of every kind, on small shapes
  compute-sanitizer --tool "$1" --error-exitcode 1 "$programs/gpu_backend_test" \
    '--gtest_filter=*OpsTest*:*SamplingTest*:*KvTransfer*'
}

# What the data sheet says of it, as tlin plan knows it.
limits() {
  local name
  for name in a100 b200 h100 h200 l4 rtx4090; do
    [[ " ${device,,} " =~ [^a-z0-9]${name#rtx}[^a-z0-9] ]] || continue
    build-gpu/bin/tlin plan --model=deploy/models/shapes/tconst-41m --device="$name" --json |
      /usr/bin/python3 -c 'import json, sys
device = json.load(sys.stdin)["device"]
print("--bytes_per_second=%r --flops_per_second=%r"
      % (device["bytes_per_second"], device["flop_per_second"]))'
    return
  done
}

bench() {
  # shellcheck disable=SC2046  # two arguments, or none
  "$programs/gpu_bench" $(limits) deploy/models/shapes/tconst-41m deploy/models/shapes/tconst-1b \
    >"$report/bench.jsonl"
}

# tlind with the papers' 41M model, random weights, under load.
load() {
  local model=$report/tconst-41m
  /usr/bin/python3 - "$model" <<'PYTHON' || return 1
import pathlib
import sys
sys.path.insert(0, "tests/integration")
import tiny_model
tiny_model.write(pathlib.Path(sys.argv[1]), tiny_model.PAPER)
PYTHON
  build-gpu/bin/tlind --model="$model" --device=cuda:0 --listen=127.0.0.1:0 \
    --metrics_listen=127.0.0.1:0 --port_file="$report/ports" >"$report/tlind.log" 2>&1 &
  local tlind=$! waited=0 status=0
  until [ -s "$report/ports" ]; do
    kill -0 "$tlind" 2>/dev/null && [ "$((waited++))" -lt 600 ] || { tail "$report/tlind.log" >&2; return 1; }
    sleep 0.1
  done
  build-gpu/bin/tlin-load --address="$(awk 'NR == 1 { print $1 }' "$report/ports")" --concurrency=64 \
    --requests=512 --prompt_tokens=200:2000 --max_new_tokens=200 --json="$report/load.json" || status=1
  kill -TERM "$tlind"
  wait "$tlind" || status=1
  rm -rf "$model"
  return "$status"
}

write_report() {
  local load=$report/load.json
  [ -s "$load" ] || load=-
  /usr/bin/python3 tests/gpu/report.py "$device" "$report/bench.jsonl" "$load" "$report" &&
    cat "$report/report.md"
}

rm -rf "$report"
mkdir -p "$report"
step "build" build build-gpu all -DCMAKE_BUILD_TYPE=RelWithDebInfo "-DTLIN_CUDA_ROOT=$cuda" \
  "-DTLIN_CUDA_ARCHITECTURES=$capability"
if [ "$failed" -eq 0 ]; then
  for test in gpu_backend_test gpu_attention_products_test gpu_model_test gpu_company_test; do
    step "$test" "$programs/$test" --gtest_brief=1
  done
  if command -v compute-sanitizer >/dev/null; then
    for tool in memcheck racecheck synccheck; do
      step "compute-sanitizer $tool" sanitized "$tool"
    done
  else
    echo "== compute-sanitizer: LEFT OUT, it is not installed"
  fi
  step "benches" bench
  step "tlind under load" load
  step "report" write_report
fi
summary
