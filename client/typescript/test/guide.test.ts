/** Every snippet of the guide and of the README compiles and runs, in its order, and prints what its comments say. */

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { PACKAGE, ROOT, Server } from "./server.js";

const run = promisify(execFile);
const SNIPPET = /^```ts\n(.*?)^```$/gms;
const EXPECTED = /^ *console\.log\(.*\); \/\/ (.*)$/gm;

/** Compile snippets as one module, and run it. */
async function output(path: string, target: string): Promise<[text: string, printed: string]> {
  const text = await readFile(path, "utf8");
  const source = Array.from(text.matchAll(SNIPPET), ([, code]) => code).join("\n");
  assert(source.length > 100);
  const directory = join(PACKAGE, "build/guide");
  await mkdir(directory, { recursive: true });
  await writeFile(join(directory, "guide.ts"), source.replaceAll("127.0.0.1:50051", target));
  const options = {
    extends: "../../tsconfig.json",
    compilerOptions: {
      rootDir: ".",
      outDir: ".",
      noUnusedLocals: false,
      skipLibCheck: !path.endsWith("typescript.md"),
    },
  };
  await writeFile(join(directory, "tsconfig.json"), JSON.stringify({ ...options, include: ["guide.ts"], exclude: [] }));
  await run(join(PACKAGE, "node_modules/.bin/tsc"), ["-p", directory]).catch((error) => assert.fail(error.stdout));
  return [text, (await run(process.execPath, [join(directory, "guide.js")])).stdout];
}

test("the guide and the README run", { timeout: 300_000 }, async () => {
  await using server = await Server.start();
  const [guide, printed] = await output(join(ROOT, "docs/clients/typescript.md"), server.target);
  const lines = printed.split("\n");
  for (const [, expected] of guide.matchAll(EXPECTED)) {
    assert(lines.includes(expected as string), `${expected}\n${printed}`);
  }
  await output(join(PACKAGE, "README.md"), server.target);
});

test("the page of LangGraph.js runs", { timeout: 300_000 }, async () => {
  await using server = await Server.start();
  const [page, printed] = await output(join(ROOT, "docs/langgraph-js.md"), server.target);
  for (const [, expected] of page.matchAll(EXPECTED)) {
    assert(printed.split("\n").includes(expected as string), `${expected}\n${printed}`);
  }
});

test("a killed worker is followed by another, which goes on", { timeout: 300_000 }, async () => {
  await using server = await Server.start();
  const worker = join(PACKAGE, "build/examples/worker.js");
  // Slowly, so that it is killed in the middle of its work on a busy machine, too.
  const first = spawn(process.execPath, [worker, server.target, "demo", "1000"]);
  for await (const chunk of first.stdout) {
    if (String(chunk).includes("step 2 is safe")) {
      first.kill("SIGKILL");
      break;
    }
  }
  if (first.exitCode === null && first.signalCode === null) {
    await once(first, "exit");
  }
  const { stdout } = await run(process.execPath, [worker, server.target, "demo"]);
  assert.match(stdout, /^goes on after step [2-5]\n/);
  assert.match(stdout, /step 6 is safe\nfinished\n$/);
  assert.doesNotMatch(stdout, /step [12] is safe/);
});
