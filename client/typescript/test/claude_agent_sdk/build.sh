#!/bin/sh
# Install the SDK where it is not, and compile the tests. They find it in their own directory.
set -eu
cd "$(dirname "$0")"
npm ls --silent >/dev/null 2>&1 || npm ci --silent --prefer-offline
../../node_modules/.bin/tsc -p .
ln -sfn ../../../test/claude_agent_sdk/node_modules ../../build/test/claude_agent_sdk/node_modules
