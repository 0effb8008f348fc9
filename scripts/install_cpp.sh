#!/bin/sh
# Install what the C++ stubs are generated and compiled with, where the system is Debian and we may.
set -eu
command -v apt-get >/dev/null || { echo "There is no apt-get here." >&2; exit 1; }
[ "$(id -u)" = 0 ] || { echo "Installing packages needs root." >&2; exit 1; }
export DEBIAN_FRONTEND=noninteractive
packages="g++ libgrpc++-dev libprotobuf-dev pkg-config protobuf-compiler protobuf-compiler-grpc"
# shellcheck disable=SC2086 # several packages
apt-get install --yes --quiet --no-install-recommends $packages || {
    apt-get update --quiet && apt-get install --yes --quiet --no-install-recommends $packages
}
