/** The package as a project outside of the repository gets it: installed from its tarball, compiled and run there. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { PACKAGE, Server } from "./server.js";

const run = promisify(execFile);

/** Releases of TypeScript, which check the declarations of the package and of what it needs. */
const COMPILERS = { oldest: "5.2.2", newest: "5.9" };
const COMPILE = [
  ...["--strict", "--exactOptionalPropertyTypes"],
  ...["--target", "ES2022", "--lib", "ES2022,ESNext.Disposable", "--module", "NodeNext", "--types", "node"],
];

const PROGRAM = `
import { Client, type CheckpointInit, LockstitchError, type Thread } from "lockstitch";

const client: Client = new Client(process.argv[2], { timeoutMs: 30_000 });
const thread: Thread<{ n: number }> = client.thread("thread");
const checkpoint: CheckpointInit = { sessionId: "s", step: 1n };
try {
  await client.save(checkpoint);
  await thread.save({ n: 1 });
  console.log((await thread.load())?.n);
} catch (error) {
  console.log(error instanceof LockstitchError);
}
client.close();
`;

/** The generated messages: the declarations of @bufbuild/protobuf need TypeScript 5.7. */
const MESSAGES = `
import { CheckpointSchema, encode, fromBinary } from "lockstitch/v1";

console.log(fromBinary(CheckpointSchema, encode(CheckpointSchema, { step: 7n })).step);
`;

const COMMON = `
const { Client } = require("lockstitch");
const client = new Client(process.argv[2]);
client.loadLatest("s").then(({ checkpoint }) => {
  console.log("step", checkpoint.step);
  client.close();
});
`;

test("the package works where it is installed from its tarball", { timeout: 600_000 }, async () => {
  const directory = await mkdtemp(join(tmpdir(), "lockstitch-"));
  const within = { cwd: directory, timeout: 300_000 };
  try {
    const packed = await run("npm", ["pack", "--json", "--ignore-scripts", "--pack-destination", directory], {
      cwd: PACKAGE,
    });
    const told = JSON.parse(packed.stdout);
    const [{ filename }] = Array.isArray(told) ? told : Object.values<{ filename: string }>(told);
    await writeFile(
      join(directory, "package.json"),
      JSON.stringify({ name: "outside", private: true, type: "module" }),
    );
    const compilers = Object.entries(COMPILERS).map(([name, version]) => `${name}@npm:typescript@${version}`);
    const options = ["--no-audit", "--no-fund", "--prefer-offline"];
    await run("npm", ["install", ...options, `./${filename}`, "@types/node@20", ...compilers], within);

    await writeFile(join(directory, "program.ts"), PROGRAM);
    await writeFile(join(directory, "messages.ts"), MESSAGES);
    for (const [name, ...programs] of [
      ["oldest", "program.ts"],
      ["newest", "program.ts", "messages.ts"],
    ] as const) {
      const command = [join(directory, "node_modules", name, "lib/tsc.js"), ...COMPILE, ...programs];
      await run(process.execPath, command, within).catch(({ stdout }) => assert.fail(`${name}: ${stdout}`));
    }

    await writeFile(join(directory, "common.cjs"), COMMON);
    await using server = await Server.start();
    const program = await run(process.execPath, ["program.js", server.target], within);
    assert.equal(program.stdout, "1\n");
    assert.equal((await run(process.execPath, ["messages.js"], within)).stdout, "7n\n");
    const common = await run(process.execPath, ["common.cjs", server.target], within);
    assert.equal(common.stdout, "step 1n\n");

    const installed = JSON.parse(await readFile(join(directory, "node_modules/lockstitch/package.json"), "utf8"));
    for (const field of ["homepage", "repository", "bugs", "license", "description"]) {
      assert(installed[field], field);
    }
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
});
