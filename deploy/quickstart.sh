#!/usr/bin/env bash
# Installs what is missing, builds, starts tlind with the demo model, streams one
# completion, and stays in the foreground until Ctrl-C.
#   deploy/quickstart.sh [--once] [MODEL_DIRECTORY]
# --once: exit after the completion.
set -euo pipefail
cd "$(dirname "$0")/.."

once=false
model=deploy/models/tlin-demo
for argument in "$@"; do
  case "$argument" in
    --once) once=true ;;
    -h|--help) sed -n '2,5s/^# //p' "$0"; exit 0 ;;
    -*) echo "quickstart.sh: no such option: $argument (see --help)" >&2; exit 2 ;;
    *) model=$argument ;;
  esac
done
if [ ! -f "$model/config.json" ]; then
  echo "quickstart.sh: $model is not a model directory: it has no config.json" >&2
  exit 1
fi

echo "== 1/4 packages"
deploy/packages.sh build
echo "== 2/4 build (some minutes the first time)"
# The distribution's, as tests/run.sh: what one of them has compiled the other finds.
cmake=/usr/bin/cmake
[ -x "$cmake" ] || cmake=cmake
"$cmake" -S . -B build -G Ninja -DTLIN_TESTS=OFF >build.log 2>&1 || {
  cat build.log >&2; echo "quickstart.sh: cmake failed, see above" >&2; exit 1; }
"$cmake" --build build --target tlind tlin tlin-load
rm -f build.log

echo "== 3/4 start tlind with $model"
scratch=$(mktemp -d)
daemon=
stop() {
  if [ -n "$daemon" ] && kill -TERM "$daemon" 2>/dev/null; then wait "$daemon" || true; fi
  rm -rf "$scratch"
}
trap stop EXIT
build/bin/tlind --model="$model" --listen=127.0.0.1:0 --metrics_listen=127.0.0.1:0 \
  --port_file="$scratch/ports" 2>"$scratch/log" &
daemon=$!
until [ -s "$scratch/ports" ]; do
  if ! kill -0 "$daemon" 2>/dev/null; then
    cat "$scratch/log" >&2
    echo "quickstart.sh: tlind did not start, see above" >&2
    exit 1
  fi
  sleep 0.05
done
address=$(sed -n 1p "$scratch/ports")
metrics=$(sed -n 2p "$scratch/ports")

echo "== 4/4 a completion"
prompt="The people of the United States"
printf '%s' "$prompt"
build/bin/tlin generate --address="$address" --max_new_tokens=120 --temperature=0.8 --seed=7 --verbose \
  "$prompt"
echo
echo "gRPC:    $address   (try: build/bin/tlin chat --address=$address)"
echo "metrics: http://$metrics/metrics"
if $once; then exit 0; fi
echo "Ctrl-C stops the daemon."
trap 'exit 0' INT TERM
wait "$daemon"
