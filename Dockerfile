# Builds the images that `go run ./hack/images` builds without Docker, for people with Docker:
#
#   docker build --target sandkeep -t registry.example.com/team/sandkeep:v0.1.0 --build-arg VERSION=v0.1.0 .
#   docker build --target opencode -t registry.example.com/team/opencode:v0.1.0 .
#
# Only linux/amd64 is built. hack/images/lock.go holds the same versions, packages and users; a test there compares them.

FROM --platform=linux/amd64 golang:1.26-bookworm AS programs
ARG VERSION=dev
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
# Every program of cmd/ that runs in a cluster; kubectl-sandkeep runs on people's machines.
RUN mkdir -p /out && for program in cmd/*/main.go; do \
      name="$(basename "$(dirname "$program")")"; \
      if [ "$name" = kubectl-sandkeep ]; then continue; fi; \
      CGO_ENABLED=0 GOOS=linux GOARCH=amd64 go build -trimpath -buildvcs=false \
        -ldflags "-s -w -X main.version=$VERSION" -o /out/ "./cmd/$name" || exit 1; \
    done
# The licences of all that is compiled into the programs.
RUN go run ./hack/images licenses /licenses
RUN mkdir /users && \
    printf 'root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532::/:/sbin/nologin\n' > /users/passwd && \
    printf 'root:x:0:\nnonroot:x:65532:\n' > /users/group

FROM --platform=linux/amd64 debian:bookworm-slim AS debian
RUN apt-get update && \
    apt-get install --yes --no-install-recommends \
      bash \
      ca-certificates \
      coreutils \
      curl \
      git \
      jq \
      make \
      python3 \
      ripgrep && \
    rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/* && \
    groupadd --gid 10001 agent && \
    useradd --uid 10001 --gid 10001 --home-dir /home/agent --no-create-home --shell /bin/bash agent && \
    install --directory --owner=10001 --group=10001 /home/agent /workspace && \
    find / -xdev -perm /6000 -type f -exec chmod ug-s {} +

FROM --platform=linux/amd64 node:22-bookworm-slim AS npm
WORKDIR /npm
# `fetch <name> <version> <integrity>` unpacks a package of the registry if it is the one that is pinned.
RUN printf '%s\n' '#!/bin/sh -eu' \
      'archive="$(npm pack --silent --ignore-scripts "$1@$2")"' \
      'got="sha512-$(node -p "require(\"crypto\").createHash(\"sha512\").update(require(\"fs\").readFileSync(\"$archive\")).digest(\"base64\")")"' \
      'if [ "$got" != "$3" ]; then echo "$1@$2 is not the package that is pinned: $got, want $3" >&2; exit 1; fi' \
      'mkdir -p "$1"; tar --extract --gzip --file "$archive" --directory "$1"' > /usr/local/bin/fetch && \
    chmod 0755 /usr/local/bin/fetch
RUN fetch opencode-linux-x64 1.18.33 sha512-q/t/3p2CTxOT9y2kvjesb/LZab2+1eqlhhWA02Be6mjTtmYtNBcBsrI5yDo4Fw7ZSPBW2oyMIGMNRqiKQjiAWw==
RUN fetch opencode-ai 1.18.33 sha512-58P1ffLRXiAY4QeoABqUjqf6DEzm1ihpovvn9Ad+oOLbLiwK/rf88wruT9IATJ7AtNjmi8iA7pC8tN4o5y799Q==

FROM debian AS opencode
LABEL org.opencontainers.image.title="OpenCode on Debian, Sandkeep's default agent" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.source="https://github.com/sandkeep/sandkeep"
COPY --from=npm --chown=0:0 --chmod=0755 /npm/opencode-linux-x64/package/bin/opencode /usr/local/bin/opencode
COPY --from=npm --chown=0:0 --chmod=0644 /npm/opencode-ai/package/LICENSE /usr/share/doc/opencode/copyright
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/home/agent LANG=C.UTF-8
USER 10001:10001
WORKDIR /workspace
CMD ["/usr/local/bin/opencode"]

FROM scratch AS sandkeep
LABEL org.opencontainers.image.title="Sandkeep: manager, gateway, keeper and sandboxd" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/sandkeep/sandkeep"
COPY --from=debian /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=programs /users/ /etc/
COPY --from=programs /licenses/ /licenses/
COPY --from=programs /out/ /
ENV PATH=/
USER 65532:65532
WORKDIR /
