/** How a connection is set up: where to, with which credentials, limits and keepalive. */

import { X509Certificate } from "node:crypto";
import { createSecureContext, type SecureContext } from "node:tls";
import {
  type ChannelCredentials,
  type ChannelOptions,
  type ClientOptions,
  credentials,
  type Interceptor,
  Metadata,
} from "@grpc/grpc-js";
import { type Endpoint, isLocal } from "./target.js";

/** TLS, with what is PEM as text or bytes. */
export interface TlsOptions {
  /** The certificates to trust. Default: those that Node trusts. */
  ca?: string | Uint8Array | undefined;
  /** The client's certificate and its key, where the server asks for them. */
  cert?: string | Uint8Array | undefined;
  key?: string | Uint8Array | undefined;
  /** The name that the server's certificate must have. Default: the target's host. */
  serverName?: string | undefined;
}

export interface ConnectionOptions {
  /**
   * Milliseconds that calls wait for the client's first connection, before they throw `NoConnection`. Once the client has
   * been connected, calls wait for a server that is away. Default 1500.
   */
  connectTimeoutMs?: number | undefined;
  /** TLS; `true` for the usual kind. Default: as the target says, an unencrypted connection but for `https://`. */
  tls?: boolean | TlsOptions | undefined;
  /**
   * Sent as `authorization: Bearer ...` with every call: ASCII without spaces. Other hosts get it over TLS only. A function is
   * asked before every call, so that a key or token can change; it may return a promise.
   */
  apiKey?: string | (() => string | Promise<string>) | undefined;
  /** Whether a key may be sent to another host without TLS, because something else encrypts the connection. Default false. */
  insecure?: boolean | undefined;
  /** Sent with every call. */
  metadata?: Readonly<Record<string, string>> | undefined;
  /** Further options of @grpc/grpc-js for its channel, which override the client's own. */
  channelOptions?: ChannelOptions | undefined;
  /** Interceptors of @grpc/grpc-js, for metrics, logs and headers. They see every call of the client, the first one first. */
  interceptors?: Interceptor[] | undefined;
}

const NO_LIMIT = -1;
const KEY = /^[\x21-\x7e]+$/;

const DEFAULTS: ChannelOptions = {
  // What the server has accepted can be read back, whatever its limit; what it does not accept it answers clearly.
  "grpc.max_receive_message_length": NO_LIMIT,
  "grpc.max_send_message_length": NO_LIMIT,
  // The client repeats calls by itself: it knows what the server asks for, and for how long.
  "grpc.enable_retries": 0,
  // gRPC waits up to two minutes between attempts to connect; a server that restarts is back in seconds.
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": 1000,
  // A name whose address does not answer is looked up again, 30 s later unless told. Servers move.
  "grpc.dns_min_time_between_resolutions_ms": 500,
  // Servers end connections that ping more often than every five minutes.
  "grpc.keepalive_time_ms": 360_000,
  "grpc.keepalive_timeout_ms": 10_000,
  // A connection that is given up is not to be found again by the next channel.
  "grpc.use_local_subchannel_pool": 1,
  // A name with many addresses is many replicas: spread the calls, leave out those that cannot be reached.
  "grpc.service_config": JSON.stringify({ loadBalancingConfig: [{ round_robin: {} }] }),
};

export function channelOptions(address: string, options: ConnectionOptions): ClientOptions {
  const serverName = typeof options.tls === "object" ? options.tls.serverName : undefined;
  const named: ChannelOptions = serverName
    ? { "grpc.ssl_target_name_override": serverName, "grpc.default_authority": serverName }
    : {};
  // A proxy (http_proxy) cannot reach what is on this machine only.
  const proxy: ChannelOptions = isLocal(address) ? { "grpc.enable_http_proxy": 0 } : {};
  const { interceptors } = options;
  return { ...DEFAULTS, ...proxy, ...named, ...options.channelOptions, ...(interceptors && { interceptors }) };
}

/** Throws TypeError for a certificate without its key, or the other way round, and for what is no PEM. */
export function channelCredentials({ isTls }: Endpoint, options: ConnectionOptions): ChannelCredentials {
  return isTls ? credentials.createFromSecureContext(secureContext(options)) : credentials.createInsecure();
}

/** As `channelCredentials`. */
export function secureContext({ tls }: ConnectionOptions): SecureContext {
  const { ca, cert, key } = typeof tls === "object" ? tls : {};
  if ((cert === undefined) !== (key === undefined)) {
    throw new TypeError("tls takes cert and key together");
  }
  if (ca !== undefined) {
    usable("tls.ca is no certificate in PEM", () => new X509Certificate(bytes(ca)));
  }
  return usable("tls.cert and tls.key cannot be used", () =>
    createSecureContext({
      ...(ca !== undefined && { ca: bytes(ca) }),
      ...(cert !== undefined && key !== undefined && { cert: bytes(cert), key: bytes(key) }),
    }),
  );
}

function usable<T>(problem: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw new TypeError(`${problem}: ${(error as Error).message}`);
  }
}

/**
 * What goes with every call, but for a key from a function. Throws TypeError, which does not show the value, for a key or an
 * entry that cannot be sent.
 */
export function callMetadata({ apiKey, metadata }: ConnectionOptions): Metadata {
  const result = new Metadata();
  for (const [key, value] of Object.entries(metadata ?? {})) {
    try {
      result.set(key, value);
    } catch {
      throw new TypeError(
        `metadata ${JSON.stringify(key)}: the name or the value has characters that HTTP/2 does not take`,
      );
    }
  }
  if (apiKey !== undefined && typeof apiKey !== "function") {
    result.set("authorization", bearer(apiKey));
  }
  return result;
}

/** The value of the header. Throws TypeError, which does not show the key. */
export function bearer(apiKey: unknown): string {
  if (typeof apiKey !== "string" || !KEY.test(apiKey)) {
    throw new TypeError("apiKey is ASCII without spaces and line breaks, and not empty");
  }
  return `Bearer ${apiKey}`;
}

/** Throws TypeError for a key that would be sent to another host for all in between to read. */
export function checkSecrecy(
  { address, isTls }: Endpoint,
  { apiKey, metadata = {}, insecure }: ConnectionOptions,
): void {
  const isSecret = apiKey !== undefined || Object.keys(metadata).some((name) => name.toLowerCase() === "authorization");
  if (isSecret && !isTls && !insecure && !isLocal(address)) {
    throw new TypeError(
      `a key would be sent to ${address} unencrypted: use TLS (tls: true), or insecure: true where something else encrypts ` +
        "the connection",
    );
  }
}

function bytes(pem: string | Uint8Array): Buffer {
  return Buffer.from(pem as Uint8Array);
}
