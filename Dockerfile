# The image: the program on an otherwise empty root filesystem, as a user without rights. Build it with
#   docker build --build-arg COMMIT="$(git rev-parse --short HEAD)" -t floodmark .
# The data dir is the volume /var/lib/floodmark; everything else may be mounted read-only.

FROM rust:1.92-slim-bookworm AS build
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends build-essential nodejs npm \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
ARG COMMIT=unknown
RUN SOURCE_COMMIT="$COMMIT" cargo build --locked --profile dist

FROM debian:bookworm-slim AS rootfs
COPY --from=build /src/target/dist/floodmark /floodmark
COPY deploy/image/rootfs.sh /rootfs.sh
RUN /rootfs.sh /floodmark /image

FROM scratch
COPY --from=rootfs /image/ /
USER 65532:65532
ENV FLOODMARK_DATA_DIR=/var/lib/floodmark \
    FLOODMARK_LISTEN=0.0.0.0:8080 \
    FLOODMARK_LOG__FORMAT=json
VOLUME /var/lib/floodmark
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s CMD ["/usr/bin/floodmark", "health"]
ENTRYPOINT ["/usr/bin/floodmark"]
CMD ["serve"]
