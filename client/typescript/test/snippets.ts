/** The TypeScript that a page shows. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { PACKAGE } from "./server.js";

const run = promisify(execFile);
const SNIPPET = /^```ts\n(.*?)^```$/gms;

/** The text of a page, and its snippets as one module. */
export async function page(path: string): Promise<[text: string, source: string]> {
  const text = await readFile(path, "utf8");
  const source = Array.from(text.matchAll(SNIPPET), ([, code]) => code).join("\n");
  assert(source.length > 100);
  return [text, source];
}

/** Compile a module in a directory of the package, under the package's rules. The path of the program. */
export async function compile(directory: string, source: string, { skipLibCheck = true } = {}): Promise<string> {
  await mkdir(directory, { recursive: true });
  await writeFile(join(directory, "guide.ts"), source);
  const options = {
    extends: join(PACKAGE, "tsconfig.json"),
    compilerOptions: { rootDir: ".", outDir: ".", noUnusedLocals: false, skipLibCheck },
  };
  await writeFile(join(directory, "tsconfig.json"), JSON.stringify({ ...options, include: ["guide.ts"], exclude: [] }));
  await run(join(PACKAGE, "node_modules/.bin/tsc"), ["-p", directory]).catch((error) => assert.fail(error.stdout));
  return join(directory, "guide.js");
}
