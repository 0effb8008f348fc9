#!/bin/sh
# Generate the Python code from proto/, below the directory given; without one, in the repository, and the descriptors
# for Envoy too.
set -eu
cd "$(dirname "$0")/.."
export PATH="$PWD/.venv/generate/bin:$PWD/.venv/bin:$PATH"
for template in buf.gen.yaml buf.gen.server.yaml; do
    buf generate --template "$template" --output "${1:-.}"
done
# Out of the generated code; a test sees to it that they are up to date.
[ $# -gt 0 ] || .venv/bin/python scripts/envoy_descriptors.py deploy/envoy/lockstitch.binpb
