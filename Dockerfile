# tlind in a container. Two targets:
#   docker build -t tlin .                      (cpu, the default: libraries, programs, a demo model)
#   docker build -t tlin:cuda --target cuda .   (on NVIDIA's base image)
# Run read-only and without privileges; deploy/README.md says how, and what to mount.

FROM debian:bookworm-slim AS cpu-builder
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
COPY deploy/packages.sh /src/deploy/packages.sh
RUN /src/deploy/packages.sh build && rm -rf /var/lib/apt/lists/*
COPY . /src
RUN /src/deploy/image/build.sh /src/build /out/root && /src/deploy/image/root.sh /out/root

FROM nvidia/cuda:13.0.1-devel-ubuntu24.04 AS cuda-builder
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
COPY deploy/packages.sh /src/deploy/packages.sh
RUN /src/deploy/packages.sh build package && rm -rf /var/lib/apt/lists/*
COPY . /src
RUN /src/deploy/image/build.sh /src/build /out/root -DTLIN_CUDA_ROOT=/usr/local/cuda \
      "-DTLIN_CUDA_ARCHITECTURES=80;86;89;90;100;120" \
    && /src/deploy/debian/build.sh /src/build /out/tlin.deb

FROM nvidia/cuda:13.0.1-runtime-ubuntu24.04 AS cuda
LABEL org.opencontainers.image.title="tlin" \
      org.opencontainers.image.description="Serves TLinFormer-family language models over gRPC, on a GPU" \
      org.opencontainers.image.version="0.1.0"
RUN --mount=type=bind,from=cuda-builder,source=/out/tlin.deb,target=/tmp/tlin.deb \
    apt-get update \
    && apt-get install -y --no-install-recommends /tmp/tlin.deb \
    && rm -rf /var/lib/apt/lists/* \
    && mkdir /models && install -d -o 65532 -g 65532 /sessions
USER 65532:65532
VOLUME ["/sessions"]
EXPOSE 50051 9464
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s CMD ["/usr/bin/tlin", "health"]
ENTRYPOINT ["/usr/bin/tlind"]
CMD ["--model=/usr/share/tlin/models/tconst-demo", "--session_dir=/sessions", \
     "--listen=0.0.0.0:50051", "--metrics_listen=0.0.0.0:9464", "--insecure"]

# Last, so that it is the default.
FROM scratch AS cpu
LABEL org.opencontainers.image.title="tlin" \
      org.opencontainers.image.description="Serves TLinFormer-family language models over gRPC" \
      org.opencontainers.image.version="0.1.0"
COPY --from=cpu-builder /out/root /
USER 65532:65532
VOLUME ["/sessions"]
EXPOSE 50051 9464
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["/usr/bin/tlin", "health"]
ENTRYPOINT ["/usr/bin/tlind"]
# A container is reached by whom its ports are published to. Where that is more than this machine:
# mount tokens and certificates, and give the flags without --insecure.
CMD ["--model=/usr/share/tlin/models/tconst-demo", "--session_dir=/sessions", \
     "--listen=0.0.0.0:50051", "--metrics_listen=0.0.0.0:9464", "--insecure"]
