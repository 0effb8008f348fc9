/** A real server for tests, from the repository's virtual environment, on a port that stays the same over restarts. */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Client } from "lockstitch";

/** From build/test. */
export const PACKAGE = fileURLToPath(new URL("../..", import.meta.url));
export const ROOT = fileURLToPath(new URL("../../../..", import.meta.url));
const COMMAND = process.env.LOCKSTITCH ?? join(ROOT, ".venv/bin/lockstitch");
const START_MS = 60_000;

export interface ServerOptions {
  /** Whether it listens on a Unix socket. */
  socket?: boolean;
  /** Default: SQLite, in a directory of the server's own. */
  store?: string | undefined;
}

export class Server implements AsyncDisposable {
  readonly target: string;
  readonly #directory: string;
  readonly #store: string;
  #process: ChildProcess | undefined;

  private constructor(target: string, directory: string, store: string) {
    this.target = target;
    this.#directory = directory;
    this.#store = store;
  }

  static async start({ socket = false, store }: ServerOptions = {}): Promise<Server> {
    const directory = await mkdtemp(join(tmpdir(), "lockstitch-"));
    const target = socket ? `unix:${join(directory, "socket")}` : `127.0.0.1:${await freePort()}`;
    const server = new Server(target, directory, store ?? `sqlite:///${join(directory, "lockstitch.db")}`);
    await server.start();
    return server;
  }

  async start(): Promise<void> {
    const environment = Object.entries(process.env).filter(([name]) => !name.startsWith("LOCKSTITCH"));
    this.#process = spawn(COMMAND, ["serve", "--listen", this.target, "--store", this.#store], {
      cwd: this.#directory,
      env: Object.fromEntries(environment),
      stdio: ["ignore", "ignore", process.env.LOCKSTITCH_TEST_LOG ? "inherit" : "ignore"],
    });
    const client = new Client(this.target);
    await client.waitReady({ timeoutMs: START_MS }).finally(() => client.close());
  }

  signal(name: NodeJS.Signals): void {
    this.#process?.kill(name);
  }

  /** Stop the process, and return when it stands still: a signal takes its time. */
  async freeze(): Promise<void> {
    this.signal("SIGSTOP");
    const path = `/proc/${this.#process?.pid}/stat`;
    while (!/^\d+ \(.*\) T/.test(await readFile(path, "utf8"))) {
      await sleep(10);
    }
  }

  async stop(name: NodeJS.Signals = "SIGTERM"): Promise<void> {
    const process = this.#process;
    if (process && process.exitCode === null && process.signalCode === null) {
      const ended = once(process, "exit");
      process.kill("SIGCONT");
      process.kill(name);
      await ended;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop("SIGKILL");
    await rm(this.#directory, { recursive: true, force: true });
  }
}

export async function freePort(): Promise<number> {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, "close");
  return port;
}
