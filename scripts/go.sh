#!/bin/sh
# The Go client's chores: scripts/go.sh lint | generate [directory] | drift. Without Go there is nothing to do, which is
# said, and is a failure where everything has to run (LOCKSTITCH_REQUIRE_ALL).
set -eu
cd "$(dirname "$0")/.."
export PATH="$PWD/.venv/bin:$PATH"

if ! command -v go >/dev/null; then
    echo "There is no go: the Go client is left out." >&2
    case "${LOCKSTITCH_REQUIRE_ALL:-}" in "" | 0) exit 0 ;; *) exit 1 ;; esac
fi

generate() {
    buf generate --template buf.gen.go.yaml --output "$1"
}

case "$1" in
lint)
    cd client/go
    unformatted=$(gofmt -l .)
    [ -z "$unformatted" ] || { echo "Not formatted (gofmt -w): $unformatted" >&2; exit 1; }
    go mod tidy -diff
    go vet ./...
    go tool -modfile=tools/go.mod staticcheck ./...
    go tool -modfile=tools/go.mod actionlint ../../.github/workflows/*.yml
    ;;
generate)
    generate "${2:-.}"
    ;;
drift)
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    generate "$scratch"
    if ! diff -ru client/go/lockstitchpb "$scratch/client/go/lockstitchpb"; then
        echo "The Go stubs differ from proto/ (- the tree, + proto/). Run \`make generate\` and commit the result." >&2
        exit 1
    fi
    ;;
esac
