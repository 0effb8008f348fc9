/** steady.sh accepts a test that fails by chance, and refuses one that fails always. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { PACKAGE } from "./server.js";

const BY_CHANCE = `
import { existsSync, writeFileSync } from "node:fs";
import { test } from "node:test";
test("it", () => {
  const isSecond = existsSync("seen");
  writeFileSync("seen", "");
  if (!isSecond) throw new Error("by chance");
});`;
const PASSES = 'import { test } from "node:test"; test("it", () => {});';

for (const [what, source, status] of [
  ["by chance", BY_CHANCE, 0],
  ["always", BY_CHANCE.replace("!isSecond", "true"), 1],
  ["as it begins", "throw new Error('always');", 1],
] as const) {
  test(`a file whose test fails ${what}`, () => {
    const directory = mkdtempSync(join(tmpdir(), "lockstitch-steady-"));
    // This runner would have the inner one report to it.
    const { NODE_TEST_CONTEXT: _, ...env } = process.env;
    const run = (...command: [string, ...string[]]) =>
      spawnSync(command[0], command.slice(1), { cwd: directory, env, encoding: "utf8" });
    try {
      mkdirSync(join(directory, "build"));
      mkdirSync(join(directory, "test"));
      cpSync(join(PACKAGE, "test/steady.sh"), join(directory, "test/steady.sh"));
      writeFileSync(join(directory, "build/some.test.mjs"), source);
      writeFileSync(join(directory, "build/other.test.mjs"), PASSES);
      const reporter = join(PACKAGE, "build/test/failed_files.js");
      const options = [`--test-reporter=${reporter}`, "--test-reporter-destination=build/failed"];
      const failed = run("node", "--test", ...options, "build/some.test.mjs", "build/other.test.mjs");
      assert.equal(failed.status, 1, failed.stderr);
      const done = run("test/steady.sh");
      assert.equal(done.status, status, done.stdout + done.stderr);
      assert.equal(done.stdout.includes("UNSTEADY, to be mended: build/some.test.mjs\n"), status === 0);
      assert(!done.stdout.includes("other"), done.stdout);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
}
