/** LangGraph's own suite for checkpoint savers, against a real server. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { Postgres } from "./postgres.js";
import { PACKAGE } from "./server.js";

const run = promisify(execFile);
/** Of the version in package-lock.json: those of `validate`, and those of `deltaChannelHistoryTests`. */
const TESTS = 718 + 8;

test("the saver passes LangGraph's suite on SQLite", { timeout: 600_000 }, () => suite());

test("the saver passes LangGraph's suite on Postgres", { timeout: 600_000 }, async () => {
  await using postgres = await Postgres.start();
  await suite(postgres.url);
});

async function suite(store = ""): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), "lockstitch-"));
  const file = join(directory, "results.json");
  try {
    const vitest = join(PACKAGE, "node_modules/vitest/vitest.mjs");
    const options = ["run", "--globals", "--dir", "build/test/langgraph", "--reporter=json", `--outputFile=${file}`];
    const env = { ...process.env, ...(store && { TEST_STORE: store }) };
    await run(process.execPath, [vitest, ...options], { cwd: PACKAGE, env }).catch((error) => {
      assert.fail(`${error.stdout}\n${error.stderr}`.slice(-10_000));
    });
    const { numPassedTests, numTotalTests } = JSON.parse(await readFile(file, "utf8"));
    assert.deepEqual([numPassedTests, numTotalTests], [TESTS, TESTS]);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
