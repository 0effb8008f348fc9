/** A real Postgres for tests: the one that Python's tests start. */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import type { Socket } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { ROOT } from "./server.js";

/** Ends with its stdin, so it does not outlive this process. */
const PROGRAM = `
import subprocess, sys
from tests.support.postgres import Postgres
with Postgres() as postgres:
    migrate = [sys.executable, "-m", "lockstitch_server", "migrate", "--store", postgres.url()]
    subprocess.run(migrate, check=True, stdout=sys.stderr)
    print(postgres.url(), flush=True)
    sys.stdin.read()
`;

export class Postgres implements AsyncDisposable {
  /** For `lockstitch serve --store`. The schema is there. */
  readonly url: string;
  readonly #process: ChildProcess;

  private constructor(url: string, process: ChildProcess) {
    this.url = url;
    this.#process = process;
  }

  static async start(): Promise<Postgres> {
    const python = spawn(join(ROOT, ".venv/bin/python"), ["-c", PROGRAM], {
      cwd: ROOT,
      stdio: ["pipe", "pipe", "inherit"],
    });
    for await (const url of createInterface({ input: python.stdout })) {
      python.unref(); // a test that failed before it could stop it
      for (const pipe of [python.stdin, python.stdout]) {
        (pipe as unknown as Socket).unref();
      }
      return new Postgres(url, python);
    }
    throw new Error("Postgres does not start: its messages are above");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.ref();
    const ended = once(this.#process, "exit");
    this.#process.stdin?.end();
    await ended;
  }
}
