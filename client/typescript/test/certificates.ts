/** Real certificates for tests: those that Python's tests make. */

import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { ROOT } from "./server.js";

const PROGRAM = `
import sys
from pathlib import Path
from tests.support.certificates import Authority
directory = Path(sys.argv[1])
for name in ("ours", "other"):
    authority = Authority(name)
    (directory / f"{name}.pem").write_bytes(authority.certificate)
    authority.issue(f"{name}-pair").write(directory, f"{name}-pair")
`;

/** A directory with two authorities, `ours.pem` and `other.pem`, and a pair of each: `ours-pair.pem`, `ours-pair.key`, ... */
export class Certificates implements AsyncDisposable {
  readonly #directory: string;

  private constructor(directory: string) {
    this.#directory = directory;
  }

  static async make(): Promise<Certificates> {
    const directory = await mkdtemp(join(tmpdir(), "lockstitch-"));
    await promisify(execFile)(join(ROOT, ".venv/bin/python"), ["-c", PROGRAM, directory], { cwd: ROOT });
    return new Certificates(directory);
  }

  path(name: string): string {
    return join(this.#directory, name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#directory, { recursive: true, force: true });
  }
}
