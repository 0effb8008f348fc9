/** Every snippet of the guide and of the README compiles and runs, in its order, and prints what its comments say. */

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { PACKAGE, ROOT, Server } from "./server.js";
import { compile, page } from "./snippets.js";

const run = promisify(execFile);
const EXPECTED = /^ *console\.log\(.*\); \/\/ (.*)$/gm;

/** Compile snippets as one module, and run it. */
async function output(path: string, target: string): Promise<[text: string, printed: string]> {
  const [text, source] = await page(path);
  const program = await compile(join(PACKAGE, "build/guide"), source.replaceAll("127.0.0.1:50051", target), {
    skipLibCheck: !path.endsWith("typescript.md"),
  });
  return [text, (await run(process.execPath, [program])).stdout];
}

/** Run a program, and kill it with SIGKILL when it prints a text. */
async function killAt(text: string, ...command: string[]): Promise<void> {
  const worker = spawn(process.execPath, command);
  for await (const chunk of worker.stdout) {
    if (String(chunk).includes(text)) {
      worker.kill("SIGKILL");
      break;
    }
  }
  if (worker.exitCode === null && worker.signalCode === null) {
    await once(worker, "exit");
  }
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
  await killAt("step 2 is safe", worker, server.target, "demo", "1000");
  const { stdout } = await run(process.execPath, [worker, server.target, "demo"]);
  assert.match(stdout, /^goes on after step [2-5]\n/);
  assert.match(stdout, /step 6 is safe\nfinished\n$/);
  assert.doesNotMatch(stdout, /step [12] is safe/);
});

test("a killed graph of LangGraph.js is continued by another process", { timeout: 300_000 }, async () => {
  await using server = await Server.start();
  const worker = join(PACKAGE, "build/examples/langgraph.js");
  await killAt("search begins", worker, server.target, "demo", "2000");
  const { stdout } = await run(process.execPath, [worker, server.target, "demo"]);
  assert.match(stdout, /^continues with (search|draft|review)\n/);
  assert.doesNotMatch(stdout, /plan begins/);
  const notes = [
    "write about lockstitch seams",
    ...["plan", "search", "draft", "review"].map((name) => `${name}: done`),
  ];
  assert(stdout.endsWith(`notes: ${notes.join("; ")}\n`), stdout);
});
