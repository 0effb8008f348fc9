#!/bin/sh
# Generate the Python code from proto/, below the directory given (default: the repository).
set -eu
cd "$(dirname "$0")/.."
export PATH="$PWD/.venv/generate/bin:$PWD/.venv/bin:$PATH"
for template in buf.gen.yaml buf.gen.server.yaml; do
    buf generate --template "$template" --output "${1:-.}"
done
