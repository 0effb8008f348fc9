/** How a connection is set up: where to, with which credentials, limits and keepalive. */

import { type ChannelCredentials, type ChannelOptions, credentials, Metadata } from "@grpc/grpc-js";
import { isLocal } from "./target.js";

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
  /** TLS; `true` for the usual kind. Default: an unencrypted connection. */
  tls?: boolean | TlsOptions | undefined;
  /** Sent as `authorization: Bearer ...` with every call: ASCII without spaces. Other hosts get it over TLS only. */
  apiKey?: string | undefined;
  /** Whether a key may be sent to another host without TLS, because something else encrypts the connection. Default false. */
  insecure?: boolean | undefined;
  /** Sent with every call. */
  metadata?: Readonly<Record<string, string>> | undefined;
  /** Further options of @grpc/grpc-js for its channel, which override the client's own. */
  channelOptions?: ChannelOptions | undefined;
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

export function channelOptions(target: string, options: ConnectionOptions): ChannelOptions {
  const serverName = typeof options.tls === "object" ? options.tls.serverName : undefined;
  const named: ChannelOptions = serverName
    ? { "grpc.ssl_target_name_override": serverName, "grpc.default_authority": serverName }
    : {};
  // A proxy (http_proxy) cannot reach what is on this machine only.
  const proxy: ChannelOptions = isLocal(target) ? { "grpc.enable_http_proxy": 0 } : {};
  return { ...DEFAULTS, ...proxy, ...named, ...options.channelOptions };
}

/** Throws TypeError for a certificate without its key, or the other way round. */
export function channelCredentials({ tls }: ConnectionOptions): ChannelCredentials {
  if (!tls) {
    return credentials.createInsecure();
  }
  const { ca, cert, key } = tls === true ? {} : tls;
  if ((cert === undefined) !== (key === undefined)) {
    throw new TypeError("tls takes cert and key together");
  }
  return credentials.createSsl(bytes(ca), bytes(key), bytes(cert));
}

/**
 * What goes with every call. Throws TypeError, which does not show the value, for a key or an entry that cannot be sent.
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
  if (apiKey !== undefined) {
    if (!KEY.test(apiKey)) {
      throw new TypeError("apiKey is ASCII without spaces and line breaks, and not empty");
    }
    result.set("authorization", `Bearer ${apiKey}`);
  }
  return result;
}

/** Throws TypeError for a key that would be sent to another host for all in between to read. */
export function checkSecrecy(target: string, { apiKey, metadata = {}, tls, insecure }: ConnectionOptions): void {
  const isSecret = apiKey !== undefined || Object.keys(metadata).some((name) => name.toLowerCase() === "authorization");
  if (isSecret && !tls && !insecure && !isLocal(target)) {
    throw new TypeError(
      `a key would be sent to ${target} unencrypted: use TLS (tls: true), or insecure: true where something else encrypts ` +
        "the connection",
    );
  }
}

function bytes(pem: string | Uint8Array | undefined): Buffer | null {
  return pem === undefined ? null : Buffer.from(pem as Uint8Array);
}
