# Sourced by run.sh: a container engine. A real Docker where one answers; else podman and buildah,
# with a base image made from the distribution's packages, since no registry is asked.
#   engine_start SCRATCH   exits with 77 where there can be none
#   engine_stop
#   build_image TAG        from the Dockerfile's default target
#   engine ARGUMENT...     docker or podman

base=docker.io/library/debian:bookworm-slim

cannot() {
  echo "container: $1: left out" >&2
  exit 77
}

engine_start() {
  engine_scratch=$1
  if docker info >/dev/null 2>&1; then
    engine_kind=docker
    return
  fi
  engine_kind=podman
  [ "$(id -u)" -eq 0 ] || cannot "no Docker engine answers, and podman is set up here for root only"
  deploy/packages.sh deployment || cannot "no Docker engine answers, and podman cannot be installed"
  mkdir -p "$engine_scratch"/{root,run}
  # Limits that a process in a machine without privileges may set; no systemd to ask for cgroups.
  cat >"$engine_scratch/containers.conf" <<'CONF'
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
CONF
  export CONTAINERS_CONF=$engine_scratch/containers.conf
  store=(--root "$engine_scratch/root" --runroot "$engine_scratch/run")
  local tar=${XDG_CACHE_HOME:-$HOME/.cache}/tlin/debian-bookworm.tar
  if [ ! -f "$tar" ]; then
    mkdir -p "$(dirname "$tar")"
    mmdebstrap --quiet --variant=minbase bookworm "$tar.new.tar" >"$engine_scratch/mmdebstrap.log" 2>&1 || {
      tail -5 "$engine_scratch/mmdebstrap.log" >&2
      cannot "there is no base image, and none can be made"
    }
    mv "$tar.new.tar" "$tar"
  fi
  # Not every machine lets a container be made in it, and that is no fault of the image's.
  { engine import --quiet "$tar" "$base" &&
    engine run --rm --network host --cap-drop ALL --memory 256m "$base" true; } \
    >"$engine_scratch/podman.log" 2>&1 || {
    tail -3 "$engine_scratch/podman.log" >&2
    cannot "podman cannot run a container on this machine"
  }
}

engine() {
  if [ "$engine_kind" = docker ]; then docker "$@"; else podman "${store[@]}" "$@"; fi
}

build_image() {
  if [ "$engine_kind" = docker ]; then
    docker build --quiet --tag "$1" .
    return
  fi
  local cache=()
  if command -v ccache >/dev/null; then
    mkdir -p "$(ccache --get-config cache_dir)"
    cache=(--volume "$(ccache --get-config cache_dir):/root/.cache/ccache")
  fi
  buildah "${store[@]}" bud --quiet --isolation chroot --format docker --pull-never \
    "${cache[@]}" --tag "$1" .
}

engine_stop() {
  if [ "$engine_kind" = podman ]; then
    engine rm --all --force --time 0 >/dev/null 2>&1
    engine unmount --all --force >/dev/null 2>&1
    engine system reset --force >/dev/null 2>&1
  fi
}
