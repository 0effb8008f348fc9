#!/bin/sh
# Fail if proto/ breaks what the given commit promised. Without one: where this branch left main, and on main itself
# the commit before the last.
set -eu
cd "$(dirname "$0")/.."

base=${1:-$(git merge-base HEAD origin/main 2>/dev/null || true)}
if [ -z "$base" ] || { [ $# -eq 0 ] && [ "$base" = "$(git rev-parse HEAD)" ]; }; then
    base=HEAD~1
fi
if ! git cat-file -e "$base:proto" 2>/dev/null; then
    [ $# -eq 0 ] || { echo "There is no $base with a proto directory." >&2; exit 1; }
    echo "Nothing to compare proto/ with: $base has no proto directory."
    exit 0
fi

before=$(mktemp -d)
trap 'rm -rf "$before"' EXIT
git archive "$base" proto | tar -xf - -C "$before"
buf breaking proto --against "$before/proto"
echo "proto/ breaks nothing of $(git describe --always "$base")."
