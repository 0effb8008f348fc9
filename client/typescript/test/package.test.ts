import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { ErrorReason } from "lockstitch/v1";
import { PACKAGE } from "./server.js";

const run = promisify(execFile);

test("the lock file names versions and hashes, and no place to get them from", async () => {
  const lock = JSON.parse(await readFile(join(PACKAGE, "package-lock.json"), "utf8"));
  const entries = Object.entries<{ resolved?: string; integrity?: string }>(lock.packages).filter(([path]) => path);
  assert(entries.length > 10);
  for (const [path, { resolved, integrity }] of entries) {
    assert.equal(resolved, undefined, path);
    assert.match(integrity ?? "", /^sha512-/, path);
  }
});

test("the package holds the module, its types and what a reader looks for", async () => {
  const { stdout } = await run("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], { cwd: PACKAGE });
  const packed = JSON.parse(stdout);
  const [{ files }] = Array.isArray(packed) ? packed : Object.values<{ files: { path: string }[] }>(packed);
  const paths = files.map(({ path }: { path: string }) => path);
  for (const path of ["dist/index.js", "dist/index.d.ts", "dist/v1.d.ts", "README.md", "LICENSE", "package.json"]) {
    assert(paths.includes(path), path);
  }
  assert(!paths.some((path: string) => path.startsWith("test") || path.startsWith("node_modules")));
});

test("the public types do not import those of generated messages", async () => {
  const seen = new Map<string, string[]>();
  const visit = async (name: string): Promise<void> => {
    if (!seen.has(name)) {
      const text = await readFile(join(PACKAGE, "dist", name), "utf8");
      const found = Array.from(text.matchAll(/(?:from |import\()"([^"]+)"/g), ([, one]) => one as string);
      seen.set(name, found);
      const own = found.filter((one) => one.startsWith("."));
      await Promise.all(own.map((one) => visit(join(dirname(name), one.replace(/\.js$/, ".d.ts")))));
    }
  };
  await Promise.all(["index.d.ts", "langgraph/index.d.ts", "claude_agent_sdk/index.d.ts"].map(visit));
  assert(seen.size > 10);
  for (const [name, found] of seen) {
    assert.deepEqual(
      found.filter((one) => one.startsWith("@bufbuild/")),
      [],
      name,
    );
  }
});

test("no framework is imported unless its adapter is", async () => {
  const files = (await readdir(join(PACKAGE, "dist"), { recursive: true })).filter((name) => name.endsWith(".js"));
  const imports = async (name: string): Promise<string[]> => {
    const text = await readFile(join(PACKAGE, "dist", name), "utf8");
    return Array.from(text.matchAll(/^(?:import|export)[^;]* from "([^"]+)"/gm), ([, found]) => found as string);
  };
  const of = new Map(await Promise.all(files.map(async (name) => [name, await imports(name)] as const)));
  assert(of.get("langgraph/saver.js")?.includes("@langchain/langgraph-checkpoint"));
  for (const [name, found] of of) {
    const others = found.filter((one) => !/^(\.|node:|@bufbuild\/|@grpc\/|@opentelemetry\/)/.test(one));
    assert.deepEqual(
      others.filter((one) => !(name.startsWith("langgraph/") && one.startsWith("@langchain/"))),
      [],
      name,
    );
  }
});

test("every reason of the contract has a class of its own kind", async () => {
  const { fromStatus } = await import("../src/errors.js");
  const { create, ErrorInfoSchema, StatusSchema, toBinary } = await import("lockstitch/v1");
  for (const reason of Object.keys(ErrorReason).filter(
    (name) => Number.isNaN(Number(name)) && name !== "UNSPECIFIED",
  )) {
    const info = create(ErrorInfoSchema, { reason, domain: "lockstitch.dev", metadata: { field: "f" } });
    const value = toBinary(ErrorInfoSchema, info);
    const details = [{ typeUrl: "type.googleapis.com/google.rpc.ErrorInfo", value }];
    const error = fromStatus(create(StatusSchema, { code: 2, details }));
    assert.notEqual(error.constructor.name, "LockstitchError", reason);
    assert.deepEqual([error.reason, error.metadata], [reason, { field: "f" }]);
  }
});
