/** Why there is no connection, in words that say what to do. */

import { type ConnectionOptions, connect, type SecureContext } from "node:tls";
import { hostAndPort } from "./target.js";

export interface Refusal {
  text: string;
  /** Whether waiting is in vain. */
  isFinal: boolean;
}

/** How long to ask the server what it thinks of this client's certificate. */
const PROBE_MS = 400;
const LAST_ERROR = /Last error: (?!.*Last error: )(.*?)\.?\s*(?:Resolution note:.*)?$/s;

const KNOWN: [RegExp, (cause: string) => string][] = [
  [
    /unable to verify|self[- ]signed|unable to get (local )?issuer/i,
    (cause) => `the server's certificate is not signed by an authority that this client trusts (${cause}): give tls.ca`,
  ],
  [
    /altnames/i,
    (cause) => `the server's certificate is for another name (${cause}): connect to that name, or give tls.serverName`,
  ],
  [/certificate has expired/i, (cause) => `the server's certificate is too old (${cause}): renew it`],
  [/wrong version number/i, () => "the server does not use TLS at this port: leave tls out"],
];

/** What gRPC has said, without its repetitions; undefined: nothing answers there. */
export function explained(told: string | undefined): Refusal {
  const cause = (LAST_ERROR.exec(told ?? "")?.[1] ?? told ?? "nothing answers there")
    .replace(/^Error(?: \[\w+\])?: /, "")
    .trim();
  const known = KNOWN.find(([pattern]) => pattern.test(cause));
  return known ? { text: known[1](cause), isFinal: true } : { text: cause, isFinal: false };
}

/**
 * Whether the server refuses this client's certificate. Servers do so after the handshake: they end the connection, with an
 * alert or without a word, and gRPC reports no more than that. Asked twice, since a server that stops ends connections, too.
 * undefined: it does not refuse it.
 */
export async function certificateRefusal(
  address: string,
  context: SecureContext,
  { serverName, hasCertificate }: { serverName: string | undefined; hasCertificate: boolean },
): Promise<Refusal | undefined> {
  const place = hostAndPort(address);
  // Whether the server's certificate is right is gRPC's to check. Nothing is sent over this connection.
  const checks = { rejectUnauthorized: false, ALPNProtocols: ["h2"], ...(serverName && { servername: serverName }) };
  for (let round = 0; round < 2; round++) {
    if (!place || !(await endsAfterHandshake({ ...place, ...checks, secureContext: context }))) {
      return undefined;
    }
  }
  const what = hasCertificate
    ? "it does not accept this client's certificate: give one that its authority has signed"
    : "it asks for a client certificate: give one";
  return {
    text: `the server ends connections after the TLS handshake; most likely ${what}, as tls.cert and tls.key`,
    isFinal: true,
  };
}

/** Whether the server says nothing after the handshake but that the connection has ended. */
function endsAfterHandshake(options: ConnectionOptions): Promise<boolean> {
  return new Promise((resolve) => {
    let isSecure = false;
    const socket = connect(options, () => {
      isSecure = true;
    });
    const end = (refuses: boolean) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(refuses);
    };
    const timer = setTimeout(() => end(false), PROBE_MS);
    socket.on("data", () => end(false));
    socket.on("error", ({ code }: NodeJS.ErrnoException) => end(isSecure || /ALERT/.test(code ?? "")));
    socket.on("close", () => end(isSecure));
  });
}
