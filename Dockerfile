# Kinward as one static program on an empty base, as a user that is not root.
#
#   docker build -t kinward .
#   docker run -d --name kinward -p 53:1053/udp -p 53:1053/tcp -p 8053:8053/tcp -v kinward:/data \
#     -e KINWARD_CONSOLE_URL=http://192.168.1.10:8053 kinward
#   docker logs kinward
#   docker exec kinward /kinward incidents

# The newest patch of the Go that go.mod names. Of this image only the authorities (ca-certificates) are in the result.
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=""
RUN CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w -X main.release=${VERSION}" -o /kinward ./cmd/kinward \
 && mkdir /data && chown 65532:65532 /data && chmod 0700 /data

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /kinward /kinward
COPY --from=build --chown=65532:65532 /data /data
USER 65532:65532
# Inside the container every address is the container's own; who may reach it is
# decided by what is published, and by KINWARD_ALLOW_NET.
ENV KINWARD_DATA=/data \
    KINWARD_DNS=0.0.0.0:1053 \
    KINWARD_METRICS=0.0.0.0:9153 \
    KINWARD_CONSOLE=0.0.0.0:8053
VOLUME /data
EXPOSE 1053/udp 1053/tcp 8053/tcp 9153/tcp
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s CMD ["/kinward", "doctor", "--server"]
ENTRYPOINT ["/kinward"]
CMD ["serve"]
