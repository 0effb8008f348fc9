/** Connections: which addresses, certificates and keys are taken, and what is said of those that are not. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { inspect } from "node:util";
import { InterceptingCall, type Interceptor } from "@grpc/grpc-js";
import { Client, type ConnectionOptions, InvalidArgument, NoConnection, NotFound, Unauthenticated } from "lockstitch";
import { Certificates } from "./certificates.js";
import { connected } from "./connected.js";
import { Server } from "./server.js";

const FOREVER = 3_600_000;

describe("over TLS", { timeout: 300_000 }, () => {
  let certificates: Certificates;
  let server: Server;
  let mutual: Server;
  let plain: Server;

  before(async () => {
    certificates = await Certificates.make();
    const settings = {
      "tls.certificate": certificates.path("ours-pair.pem"),
      "tls.private_key": certificates.path("ours-pair.key"),
    };
    [server, mutual, plain] = await Promise.all([
      Server.start({ settings }),
      Server.start({ settings: { ...settings, "tls.client_ca": certificates.path("ours.pem") } }),
      Server.start(),
    ]);
  });
  after(async () => {
    await Promise.all([server, mutual, plain, certificates].map((one) => one[Symbol.asyncDispose]()));
  });

  const file = (name: string) => readFileSync(certificates.path(name));
  const pair = (name: string) => ({ cert: file(`${name}.pem`), key: file(`${name}.key`) });

  test("what is right works, in every form of the address", async () => {
    const tls = { ca: file("ours.pem") };
    for (const [target, options] of [
      [server.target, { tls }],
      [`https://${server.target}`, { tls }],
      [`dns:///${server.target}`, { tls }],
      [`http://${plain.target}`, {}],
      [`http://${plain.target}/`, {}],
      [plain.target, { tls: false }],
      [mutual.target, { tls: { ...tls, ...pair("ours-pair") } }],
    ] as const) {
      using client = new Client(target, options);
      await client.loadLatest("a");
    }
  });

  // The connection has an hour: an error comes at once, not at its end.
  const refused: [string, () => [Server, ConnectionOptions["tls"]], RegExp][] = [
    ["an authority of another", () => [server, { ca: file("other.pem") }], /not signed by an authority.*tls\.ca/],
    ["an unknown authority", () => [server, true], /not signed by an authority.*tls\.ca/],
    ["another name", () => [server, { ca: file("ours.pem"), serverName: "a.test" }], /another name.*tls\.serverName/],
    ["no client certificate", () => [mutual, { ca: file("ours.pem") }], /asks for a client certificate/],
    [
      "another's client certificate",
      () => [mutual, { ca: file("ours.pem"), ...pair("other-pair") }],
      /does not accept this client's certificate/,
    ],
    ["a server without TLS", () => [plain, { ca: file("ours.pem") }], /does not use TLS/],
  ];
  for (const [name, given, message] of refused) {
    test(`${name} is reported at once`, async () => {
      const [where, tls] = given();
      using client = new Client(where.target, { tls, connectTimeoutMs: FOREVER, timeoutMs: FOREVER });
      await assert.rejects(client.loadLatest("a"), (error) => {
        assert(error instanceof NoConnection, String(error));
        assert.match(error.message, message);
        return true;
      });
    });
  }

  test("what is no certificate is refused at construction", () => {
    assert.throws(() => new Client("127.0.0.1:1", { tls: { ca: "nonsense" } }), /tls\.ca is no certificate/);
    const { cert } = pair("ours-pair");
    assert.throws(() => new Client("127.0.0.1:1", { tls: { cert, key: "nonsense" } }), /tls\.cert and tls\.key/);
    assert.throws(() => new Client("127.0.0.1:1", { tls: { cert, key: pair("other-pair").key } }), TypeError);
    assert.throws(() => new Client("127.0.0.1:1", { tls: { cert } }), /together/);
  });
});

test("an address that is none is refused at construction", () => {
  for (const target of [
    ...["127.0.0.1:50051", "[::1]:50051", "dns:///lockstitch:50051", "dns:lockstitch:50051", "xds:///lockstitch"],
    ...["ipv4:10.0.0.1:1,10.0.0.2:1", "unix:/run/lockstitch.sock", "http://lockstitch:50051", "https://[::1]:50051"],
  ]) {
    new Client(target).close();
  }
  for (const [target, said] of Object.entries({
    "": /is empty/,
    lockstitch: /has no port: write host:port, such as "lockstitch:50051"/,
    "https://lockstitch": /has no port: write host:port, such as "lockstitch:50051"/,
    "localhost:": /the port is a number/,
    "::1": /such as "\[::1\]:50051"/,
    "[::1]": /has no port/,
    "dns:///lockstitch": /has no port/,
    "https://": /has no port/,
    "lockstitch:0": /the port is a number/,
    "lockstitch:65536": /the port is a number/,
    "lockstitch:grpc": /the port is a number/,
    ":50051": /has no host/,
    "unix:": /has no path/,
    "unix://": /has no path/,
    "local host:1": /has a space/,
    "localhost:1\n": /has a space/,
    "http://localhost:1/path": /no address of this client: write host:port/,
    "http://user@localhost:1": /"user@localhost" is no host/,
    "grpc://localhost:1": /no address of this client/,
    "xyz://localhost:1": /no address of this client/,
  })) {
    assert.throws(() => new Client(target), said, target);
  }
  assert.throws(() => new Client("http://localhost:1", { tls: true }), /https:\/\/localhost:1/);
  assert.throws(() => new Client("https://localhost:1", { tls: false }), /http:\/\/localhost:1/);
});

describe("a key", { timeout: 300_000 }, () => {
  const SECRET = "s3cret";

  test("is checked at construction, and shown nowhere", async () => {
    for (const apiKey of ["", `${SECRET}\n`, `${SECRET} x`, `${SECRET}é`]) {
      assert.throws(
        () => new Client("127.0.0.1:1", { apiKey }),
        (error: Error) => error instanceof TypeError && !inspect(error).includes(SECRET),
      );
    }
    assert.throws(
      () => new Client("127.0.0.1:1", { metadata: { authorization: `Bearer ${SECRET}\n` } }),
      (error: Error) => error instanceof TypeError && !inspect(error).includes(SECRET),
    );
    for (const target of ["a.test:1", "dns:///a.test:1", "http://a.test:1"]) {
      assert.throws(() => new Client(target, { apiKey: SECRET }), /unencrypted/);
      assert.throws(() => new Client(target, { apiKey: () => SECRET }), /unencrypted/);
    }
    using client = new Client("127.0.0.1:1", { apiKey: SECRET, retry: false });
    assert(!inspect(client, { showHidden: true, depth: 10 }).includes(SECRET));
    await assert.rejects(client.loadLatest("a"), (error) => !inspect(error, { depth: 10 }).includes(SECRET));
  });

  test("may change: a function is asked before every call", async () => {
    await using server = await Server.start();
    const sent: unknown[] = [];
    const look: Interceptor = (options, nextCall) =>
      new InterceptingCall(nextCall(options), {
        start(metadata, listener, next) {
          sent.push(...metadata.get("authorization"));
          next(metadata, listener);
        },
      });
    let number = 0;
    using client = new Client(server.target, { apiKey: async () => `key-${++number}`, interceptors: [look] });
    await client.save({ sessionId: "a" });
    await client.loadLatest("a");
    await Promise.all(["b", "c"].map((sessionId) => client.save({ sessionId }))); // a stream has its own
    assert.deepEqual(sent.slice(0, 2), ["Bearer key-1", "Bearer key-2"]);
    assert.equal(new Set(sent).size, sent.length);
  });

  test("that its function does not give is Unauthenticated", async () => {
    await using server = await Server.start();
    for (const apiKey of [
      () => Promise.reject(new Error("no vault")),
      () => {
        throw new Error("no vault");
      },
      () => `${SECRET}\n`,
    ]) {
      using client = new Client(server.target, { apiKey });
      for (const call of [() => client.loadLatest("a"), () => client.save({ sessionId: "a" })]) {
        await assert.rejects(call(), (error) => {
          assert(error instanceof Unauthenticated);
          assert.match(error.message, /apiKey/);
          return !inspect(error).includes(SECRET);
        });
      }
    }
  });
});

describe("errors", { timeout: 300_000 }, () => {
  const suite = connected();

  test("have the caller's stack, whichever way a call goes", async () => {
    const { checkpointId } = await suite.client.save({ sessionId: "a", step: 1n });
    assert(checkpointId);
    async function theCaller(): Promise<void> {
      await suite.client.load("a", { step: 7n });
    }
    async function theSaver(): Promise<void> {
      await Promise.all(
        ["a", "a"].map((sessionId) => suite.client.save({ sessionId, step: 2n }, { expectedLatest: "x" })),
      );
    }
    async function theReader(): Promise<void> {
      for await (const _ of suite.client.walkAncestors("a", { checkpointId: "missing" })) {
        assert.fail();
      }
    }
    for (const call of [theCaller, theSaver, theReader]) {
      const error = await call().catch((error: Error) => error);
      assert(error instanceof Error && !(error instanceof assert.AssertionError));
      assert.match(error.stack ?? "", new RegExp(`^${error.name}: .*\\n(.*\\n)*.*at (async )?${call.name} `));
    }
    await assert.rejects(theCaller(), NotFound);
  });

  test("are InvalidArgument for numbers that a field cannot hold", async () => {
    for (const number of [-1n, 2n ** 64n]) {
      const calls: [string, () => Promise<unknown>][] = [
        ["step", () => suite.client.save({ sessionId: "a", step: number })],
        ["expectedLatest", () => suite.client.save({ sessionId: "a" }, { expectedLatest: number })],
        ["leaseToken", () => suite.client.save({ sessionId: "a" }, { leaseToken: number })],
        ["load", () => suite.client.load("a", { step: number })],
        ["renewLease", () => suite.client.renewLease("a", number)],
        ["releaseLease", () => suite.client.releaseLease("a", number)],
        ["rewindSession", () => suite.client.rewindSession("a", { checkpointId: "x" }, { leaseToken: number })],
        ["updateSession", () => suite.client.updateSession("a", { leaseToken: number })],
        ["saveWrites", () => suite.client.saveWrites("a", "x", [], { leaseToken: number })],
        [
          "listCheckpoints",
          () => suite.client.listCheckpoints("a", { minStep: number })[Symbol.asyncIterator]().next(),
        ],
        ["versions", () => suite.client.save({ sessionId: "a", versionsSeen: { n: { versions: { c: number } } } })],
      ];
      for (const [name, call] of calls) {
        await assert.rejects(call(), (error) => {
          assert(error instanceof InvalidArgument, `${name} ${number}: ${error}`);
          assert.notEqual(error.field, "", name);
          return true;
        });
      }
    }
  });

  test("do not come with a warning where many calls share a signal", async () => {
    const warnings: string[] = [];
    const note = (warning: Error) => warnings.push(warning.name);
    process.on("warning", note);
    const abort = new AbortController();
    const options = { signal: abort.signal };
    await Promise.all(
      Array.from({ length: 40 }, (_, number) => suite.client.save({ sessionId: `s-${number}` }, options)),
    );
    await Promise.all(Array.from({ length: 40 }, () => suite.client.loadLatest("a", options)));
    const warned = once(process, "warning"); // they come in their order
    process.emitWarning("the last one");
    await warned;
    process.off("warning", note);
    assert.deepEqual(warnings, ["Warning"]);
  });
});
