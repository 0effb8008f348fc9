#!/bin/sh
# Fail if the generated code in the tree is not what proto/ gives.
set -eu
cd "$(dirname "$0")/.."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

mkdir "$scratch/tree" "$scratch/proto"
find client/python server -name '*_pb2*.py*' ! -name '*.pyc' | tar -cf - -T - | tar -xf - -C "$scratch/tree"
scripts/generate.sh "$scratch/proto"
if ! diff -ru "$scratch/tree" "$scratch/proto"; then
    echo "The generated code differs from proto/ (- the tree, + proto/). Run \`make generate\` and commit the result." >&2
    exit 1
fi
echo "The generated code matches proto/."
