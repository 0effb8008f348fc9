/** A TCP proxy whose connections can go silent: what comes is taken and goes nowhere, as behind a broken middlebox. */

import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

export class SwallowingProxy implements AsyncDisposable {
  readonly #sockets = new Set<Socket>();
  /** Those to the server: answers come from them. */
  readonly #far = new Set<Socket>();
  readonly #listener;

  private constructor(target: string) {
    const [host, port] = target.split(":") as [string, string];
    this.#listener = createServer((near) => {
      const far = connect(Number(port), host);
      near.pipe(far).pipe(near);
      this.#far.add(far);
      for (const socket of [near, far]) {
        socket.on("error", () => {});
        socket.on("close", () => {
          this.#sockets.delete(socket);
          this.#far.delete(socket);
        });
        this.#sockets.add(socket);
      }
    });
  }

  static async start(target: string): Promise<SwallowingProxy> {
    const proxy = new SwallowingProxy(target);
    proxy.#listener.listen(0, "127.0.0.1");
    await once(proxy.#listener, "listening");
    return proxy;
  }

  get target(): string {
    return `127.0.0.1:${(this.#listener.address() as AddressInfo).port}`;
  }

  /** All connections that are open go silent, for good; new ones work. How many there are. */
  swallow(what: "all" | "answers" = "all"): number {
    for (const socket of what === "all" ? this.#sockets : this.#far) {
      socket.unpipe();
      socket.removeAllListeners("end");
      socket.resume();
    }
    return this.#sockets.size / 2;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) {
      socket.destroy();
    }
    this.#listener.close();
  }
}
