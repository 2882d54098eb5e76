#!/usr/bin/env bash
# Builds the image and uses it as an operator does; installs and removes the Debian package in a
# fresh Debian. Needs build/bin (for a client beside the container).
#   tests/container/run.sh [--all-gpus]   (the CUDA stage for each architecture, not two)
# Exits with 77 where no container engine can be had.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/container/engine.sh

all_gpus=false
[ "${1:-}" != --all-gpus ] || all_gpus=true

scratch=$(mktemp -d)
engine_kind=none
redis_process=
trap 'engine_stop || true; [ -z "$redis_process" ] || kill "$redis_process"; rm -rf "$scratch" build-image' EXIT

fail() {
  echo "container: $1" >&2
  [ ! -f "$scratch/log" ] || tail -20 "$scratch/log" >&2
  local container
  for container in $([ "$engine_kind" = none ] || engine ps --all --quiet); do
    echo "container $container:" >&2
    engine logs "$container" 2>&1 | tail -5 >&2
  done
  exit 1
}

# until COMMAND...: polls, for a minute at most.
eventually() {
  local end=$((SECONDS + 60))
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$end" ] || fail "waited in vain for: $*"
    sleep 0.1
  done
}

# The container as an operator runs it: nothing to write but the session volume, no privileges, a
# bound on memory. `--network host` and no port are what podman can do without a firewall.
start() {
  engine run --detach --name tlin --network host --no-healthcheck --read-only --cap-drop ALL \
    --security-opt no-new-privileges --memory 256m --volume "$scratch/sessions:/sessions" \
    --volume "$PWD/deploy/models/tconst-demo:/models/mine:ro" \
    localhost/tlin --model=/models/mine --session_dir=/sessions \
    --listen=127.0.0.1:0 --metrics_listen=127.0.0.1:0 --port_file=/sessions/ports >/dev/null
  eventually test -s "$scratch/sessions/ports"
  address=$(sed -n 1p "$scratch/sessions/ports")
  metrics=$(sed -n 2p "$scratch/sessions/ports")
}

# SIGTERM as `docker stop` sends it; the container has to end by itself with 0.
stop() {
  engine kill --signal TERM tlin >/dev/null
  local code
  code=$(engine wait tlin)
  engine logs tlin >"$scratch/log" 2>&1
  [ "$code" = 0 ] || fail "after SIGTERM it ended with $code"
  grep -q '"message":"drained","all_ended":true' "$scratch/log" || fail "it did not drain"
  engine rm tlin >/dev/null
  rm "$scratch/sessions/ports"
}

image() {
  build_image localhost/tlin >"$scratch/log" 2>&1 || fail "the image cannot be built"
  local bytes
  bytes=$(engine image inspect --format '{{.Size}}' localhost/tlin)
  echo "the image: $(((bytes + 500000) / 1000000)) MB"
  [ "$bytes" -lt 100000000 ] || fail "the image has become large"
  [ "$(engine image inspect --format '{{.Config.User}}' localhost/tlin)" = 65532:65532 ] ||
    fail "it runs as root"
  if engine run --rm --network host --entrypoint /bin/sh localhost/tlin -c true >/dev/null 2>&1; then
    fail "there is a shell in it"
  fi
}

serving() {
  mkdir "$scratch/sessions"
  chown 65532:65532 "$scratch/sessions"
  start
  [ -n "$(build/bin/tlin generate --address="$address" --max_new_tokens=20 "The people")" ] ||
    fail "no completion"
  # The image's own health check, in the container; its address is the default one.
  engine exec tlin /usr/bin/tlin health --address="$address" | grep -qx SERVING ||
    fail "the health check does not see that it serves"
  [ "$(engine image inspect --format '{{json .Config.Healthcheck.Test}}' localhost/tlin)" = \
    '["CMD","/usr/bin/tlin","health"]' ] || fail "the image's health check is another one"
  curl -s "http://$metrics/metrics" | grep -q '^tlin_build_info{' || fail "no metrics"
  engine exec tlin /usr/bin/tlin sessions create kept --address="$address" >/dev/null
  build/bin/tlin generate --address="$address" --session_id=kept --max_new_tokens=5 "Once" >/dev/null

  # It drains: an answer under way comes to its end, though it is told to stop.
  build/bin/tlin generate --address="$address" --max_new_tokens=3000 --ignore_eos --json \
    "The people" >"$scratch/answer" &
  local client=$!
  eventually test -s "$scratch/answer"
  stop
  wait "$client" || fail "the answer under way was cut off"
  grep -q '"reason":"LENGTH"' "$scratch/answer" || fail "the answer under way has no end"

  start
  build/bin/tlin sessions show kept --address="$address" --json | grep -q '"tokens":[1-9]' ||
    fail "the session did not survive the container"
  build/bin/tlin generate --address="$address" --session_id=kept --max_new_tokens=5 " upon" \
    >/dev/null || fail "the session does not go on"
  stop
}

# What the package's service starts, as its user would; there is no systemd in a container.
package() {
  deploy/debian/build.sh build "$scratch/tlin.deb"
  cat >"$scratch/in_debian.sh" <<'SCRIPT'
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends /package/tlin.deb >/dev/null
dpkg -L tlin >/files
. /etc/default/tlind
export FLAGS DRAIN_SECONDS
mkdir -p /var/lib/tlind && chown nobody /var/lib/tlind
start=$(sed -n 's/^ExecStart=//p' /usr/lib/systemd/system/tlind.service)
setpriv --reuid nobody --regid nogroup --clear-groups --no-new-privs \
  bash -c "exec $start --listen=127.0.0.1:0 --metrics_listen=127.0.0.1:0 --port_file=/var/lib/tlind/ports" &
daemon=$!
until [ -s /var/lib/tlind/ports ]; do kill -0 $daemon; sleep 0.1; done
tlin generate --address="$(head -1 /var/lib/tlind/ports)" --max_new_tokens=20 "The people"
echo
kill -TERM $daemon
wait $daemon
apt-get purge -y -qq tlin >/dev/null
while read -r path; do
  if [ -f "$path" ]; then echo "$path is left"; exit 1; fi
done </files
if [ -e /var/lib/tlind ] || [ -e /etc/default/tlind ]; then echo "its state is left"; exit 1; fi
echo "installed, served, removed"
SCRIPT
  engine run --rm --network host --volume "$scratch/tlin.deb:/package/tlin.deb:ro" \
    --volume "$scratch/in_debian.sh:/in_debian.sh:ro" "$base" bash /in_debian.sh \
    >"$scratch/log" 2>&1 || fail "the Debian package"
  tail -1 "$scratch/log"
}

# NVIDIA's images cannot be had without a registry: the Dockerfile is linted, and what its builder
# for CUDA runs after the packages is run here, with the toolkit where this machine has it.
cuda() {
  if command -v hadolint >/dev/null; then
    hadolint Dockerfile || fail "hadolint"
  else
    echo "container: hadolint is not installed: left out"
  fi
  local toolkit commands
  toolkit=$(deploy/cuda.sh) || { echo "container: the CUDA stage's commands: left out"; return; }
  commands=$(sed -n '/AS cuda-builder/,/^FROM/p' Dockerfile |
    sed -n '/^RUN .*build\.sh /,/[^\\]$/p' | sed 's/^RUN //' |
    sed "s|/src/build|$PWD/build-image|g; s|/usr/local/cuda|$toolkit|g; s|/src|$PWD|g; s|/out|$scratch/out|g")
  if ! $all_gpus; then commands=${commands/80;86;89;90;100;120/80;90}; fi
  bash -euo pipefail -c "$commands" >"$scratch/log" 2>&1 || fail "the CUDA stage's commands"
  dpkg-deb --contents "$scratch/out/tlin.deb" >"$scratch/log"
  grep -q '/libtlin_cuda.so$' "$scratch/log" || fail "the plug-in is not in the package"
  grep -q ' ./usr/bin/tlind$' "$scratch/log" || fail "tlind is not in the package"
}

# Three ports that nobody has now.
free_ports() {
  /usr/bin/python3 -c '
import socket
sockets = [socket.socket() for _ in range(3)]
for each in sockets:
    each.bind(("127.0.0.1", 0))
print(*(each.getsockname()[1] for each in sockets))'
}

# The Deployment of deploy/kubernetes, with its tokens, its password and its Redis.
kubernetes() {
  if [ "$engine_kind" != podman ] || ! command -v redis-server >/dev/null; then
    echo "container: podman kube play: left out, there is no podman or no redis-server"
    return
  fi
  local secrets=$scratch/secrets grpc metrics redis
  read -r grpc metrics redis < <(free_ports)
  mkdir -p "$secrets"/tlin-{tokens,metrics,redis}
  echo "alice token" >"$secrets/tlin-tokens/tokens"
  echo "prometheus secret" >"$secrets/tlin-metrics/passwords"
  echo "redis://127.0.0.1:$redis" >"$secrets/tlin-redis/url"
  echo token >"$secrets/token"
  redis-server --port "$redis" --bind 127.0.0.1 --save '' --appendonly no >"$scratch/redis.log" &
  redis_process=$!
  eventually redis-cli -p "$redis" ping
  tests/container/kube.py localhost/tlin "$grpc" "$metrics" "$secrets" >"$scratch/pod.yaml"
  engine kube play --network host "$scratch/pod.yaml" >"$scratch/log" 2>&1 || fail "podman kube play"
  local client=(--address="127.0.0.1:$grpc" --token_file="$secrets/token")
  # Alive is sooner than ready: it may still be loading.
  eventually build/bin/tlin model "${client[@]}"
  build/bin/tlin sessions create s "${client[@]}" >/dev/null || fail "no session in the pod"
  build/bin/tlin generate --session_id=s --max_new_tokens=5 "${client[@]}" "Once" >/dev/null ||
    fail "no completion by the pod"
  if build/bin/tlin generate --address="127.0.0.1:$grpc" "Once" >/dev/null 2>&1; then
    fail "the pod answers who has no token"
  fi
  curl -s -u prometheus:secret "http://127.0.0.1:$metrics/metrics" | grep -q '^tlin_build_info{' ||
    fail "no metrics of the pod"
  engine kube down "$scratch/pod.yaml" >"$scratch/log" 2>&1 || fail "podman kube down"
  # A number where a list of texts belongs: what is played is really read.
  sed 's/^      - args:/      - args: 5\n        ignored:/' "$scratch/pod.yaml" >"$scratch/wrong.yaml"
  if engine kube play --network host "$scratch/wrong.yaml" >/dev/null 2>&1; then
    fail "podman takes a Deployment with wrong types"
  fi
  echo "the Deployment was played, and served"
}

cuda
engine_start "$scratch/engine"
image
serving
kubernetes
package
