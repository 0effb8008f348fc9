#!/bin/sh
# The Rust client's chores: scripts/rust.sh lint | generate | drift | test | package. Without cargo there is nothing to do,
# which is said, and is a failure where everything has to run (LOCKSTITCH_REQUIRE_ALL).
#
# What cargo builds stays from run to run, outside of the repository, where the tests have it, too.
set -eu
cd "$(dirname "$0")/../client/rust"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/lockstitch/rust}"

if ! command -v cargo >/dev/null; then
    echo "There is no cargo: the Rust client is left out." >&2
    case "${LOCKSTITCH_REQUIRE_ALL:-}" in "" | 0) exit 0 ;; *) exit 1 ;; esac
fi

# All features of all packages at once, as the tests build them: parts would be built anew.
everything="--locked --quiet --workspace --all-features"

case "$1" in
lint)
    cargo fmt --all --check
    cargo clippy $everything --all-targets -- --deny warnings
    RUSTDOCFLAGS="--deny warnings" cargo doc --locked --quiet --no-deps --all-features
    # Users choose features: without any, and with one that needs few or many others, there are no warnings, either.
    for feature in "" plain weavegraph; do
        cargo clippy --locked --quiet --no-default-features --features "$feature" -- --deny warnings
    done
    ;;
generate) cargo run --locked --quiet --package lockstitch-codegen ;;
drift) cargo run --locked --quiet --package lockstitch-codegen -- --check ;;
test) cargo test $everything ;;
package)
    # As the registry wants it, built from what it would hold.
    cargo package --locked --quiet --allow-dirty
    ;;
esac
