/** Where a server is: the forms of an address that are accepted, and whether only this machine is there. */

import { isIP } from "node:net";

const DEFAULT_PORT = 50051;
const WEB_URL = /^(https?):\/\/([^/]*)\/?$/i;
const SCHEME = /^([a-z][a-z0-9+.-]*):\/\//i;
const UNIX = /^unix:/;
const ADDRESS = /^(dns:(\/\/[^/]*\/)?|ipv4:|ipv6:)?/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: these have no place in an address
const UNPRINTABLE = /[\u0000-\u0020\u007f]/;

const FORMS = 'write host:port, "dns:///host:port", "unix:/path", "http://host:port" or "https://host:port"';

/** Where to connect, in gRPC's words, and whether with TLS. */
export interface Endpoint {
  address: string;
  isTls: boolean;
}

/**
 * Where a target is. Throws TypeError for what is no address, for one that gRPC would complete by guessing, and for a URL
 * that says another thing about TLS than the options.
 *
 * tls: what the options say; undefined: nothing.
 */
export function endpointOf(target: string, tls: boolean | undefined): Endpoint {
  if (typeof target !== "string" || target === "") {
    throw new TypeError(`target is empty: write host:port, such as "127.0.0.1:${DEFAULT_PORT}"`);
  }
  if (UNPRINTABLE.test(target)) {
    throw new TypeError(`target ${JSON.stringify(target)} has a space or a control character: ${FORMS}`);
  }
  const [, scheme, address] = WEB_URL.exec(target) ?? [];
  if (scheme === undefined || address === undefined) {
    checkTarget(target);
    return { address: target, isTls: tls ?? false };
  }
  checkPort(target, address);
  const isTls = scheme.toLowerCase() === "https";
  if (tls !== undefined && tls !== isTls) {
    const said = isTls ? "TLS, and the option tls is false" : "no TLS, and the option tls is set";
    throw new TypeError(`target "${target}" says ${said}: write ${isTls ? "http" : "https"}://${address}`);
  }
  return { address, isTls };
}

/** Whether only this machine is at an address. */
export function isLocal(address: string): boolean {
  return UNIX.test(address) || addressesOf(address).every((one) => isLoopback(split(one).host));
}

/** The first host and port of an address; undefined: it is a Unix socket. */
export function hostAndPort(address: string): { host: string; port: number } | undefined {
  const { host, port } = split(addressesOf(address)[0] ?? "");
  return UNIX.test(address) || port === undefined ? undefined : { host: bare(host), port: Number(port) };
}

function checkTarget(target: string): void {
  const [, scheme] = SCHEME.exec(target) ?? [];
  if (scheme === "xds") {
    return; // for programs with gRPC's plug-in
  }
  if (scheme !== undefined && scheme !== "dns" && scheme !== "unix") {
    throw new TypeError(`target "${target}" is no address of this client: ${FORMS}`);
  }
  if (UNIX.test(target)) {
    if (target.replace(UNIX, "").replace(/^\/\//, "") === "") {
      throw new TypeError(`target "${target}" has no path: write "unix:/path"`);
    }
    return;
  }
  for (const address of addressesOf(target)) {
    checkPort(target, address);
  }
}

function addressesOf(target: string): string[] {
  return target.replace(ADDRESS, "").split(",");
}

function isLoopback(host: string): boolean {
  const name = bare(host);
  return name.toLowerCase() === "localhost" || name === "::1" || (isIP(name) === 4 && name.startsWith("127."));
}

/** Without the brackets of an IPv6 address. */
function bare(host: string): string {
  return host.replace(/^\[|\]$/g, "");
}

function checkPort(target: string, address: string): void {
  const { host, port } = split(address);
  if (port === undefined) {
    throw new TypeError(`target "${target}" has no port: write host:port, such as "${withPort(address)}"`);
  }
  if (!(/^\d+$/.test(port) && Number(port) > 0 && Number(port) < 2 ** 16)) {
    throw new TypeError(`target "${target}": the port is a number from 1 to 65535, not "${port}"`);
  }
  if (host === "") {
    throw new TypeError(`target "${target}" has no host: write host:port, such as "127.0.0.1:${port}"`);
  }
  if (/[/@?#]/.test(host)) {
    throw new TypeError(`target "${target}": "${host}" is no host: ${FORMS}`);
  }
}

/** An IPv6 address without brackets has no port. */
function split(address: string): { host: string; port: string | undefined } {
  const found = /^(\[[^\]]*\]|[^:]*):([^:]*)$/.exec(address);
  return found ? { host: found[1] ?? "", port: found[2] } : { host: address, port: undefined };
}

/** The address that was probably meant. */
function withPort(address: string): string {
  return `${isIP(address) === 6 ? `[${address}]` : address.replace(/:$/, "") || "localhost"}:${DEFAULT_PORT}`;
}
