/** A real server for tests, from the repository's virtual environment, on a port that stays the same over restarts. */

import { type ChildProcess, spawn } from "node:child_process";
import { randomInt } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { connect, createServer } from "node:net";
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
  /** Further settings, by name. */
  settings?: Record<string, string>;
}

export class Server implements AsyncDisposable {
  readonly target: string;
  readonly #directory: string;
  readonly #store: string;
  readonly #settings: Record<string, string>;
  #process: ChildProcess | undefined;

  private constructor(target: string, directory: string, store: string, settings: Record<string, string>) {
    this.target = target;
    this.#directory = directory;
    this.#store = store;
    this.#settings = settings;
  }

  static async start({ socket = false, store, settings = {} }: ServerOptions = {}): Promise<Server> {
    const directory = await mkdtemp(join(tmpdir(), "lockstitch-"));
    const target = socket ? `unix:${join(directory, "socket")}` : `127.0.0.1:${await freePort()}`;
    const server = new Server(target, directory, store ?? `sqlite:///${join(directory, "lockstitch.db")}`, settings);
    await server.start();
    return server;
  }

  async start(): Promise<void> {
    const environment = Object.entries(process.env).filter(([name]) => !name.startsWith("LOCKSTITCH"));
    const sets = Object.entries(this.#settings).flatMap(([name, value]) => ["--set", `${name}=${value}`]);
    this.#process = spawn(COMMAND, ["serve", "--listen", this.target, "--store", this.#store, ...sets], {
      cwd: this.#directory,
      env: Object.fromEntries(environment),
      stdio: ["ignore", "ignore", process.env.LOCKSTITCH_TEST_LOG ? "inherit" : "ignore"],
    });
    if (Object.keys(this.#settings).some((name) => name.startsWith("tls."))) {
      await isListening(this.target);
      return;
    }
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

/** Wait until something accepts connections. */
async function isListening(target: string): Promise<void> {
  const [host, port] = target.split(":") as [string, string];
  for (const end = Date.now() + START_MS; Date.now() < end; await sleep(50)) {
    const socket = connect(Number(port), host);
    const isOpen = await once(socket, "connect").then(
      () => true,
      () => false,
    );
    socket.destroy();
    if (isOpen) {
      return;
    }
  }
  throw new Error(`nothing listens at ${target}`);
}

/**
 * A port that nobody listens on, below those that systems give to outgoing connections: none takes it while the server is
 * down.
 */
async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(20_000, 32_000);
    const probe = createServer().listen(port, "127.0.0.1");
    const isFree = await once(probe, "listening").then(
      () => true,
      () => false,
    );
    probe.close();
    if (isFree) {
      return port;
    }
  }
}
