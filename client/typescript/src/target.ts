/** Where a server is: which addresses are taken, and whether only this machine is there. */

import { isIP } from "node:net";

const DEFAULT_PORT = 50051;
const URL = /^(https?|grpcs?|tcp|ssl|tls):\/\/([^/]*)/i;
const UNIX = /^unix(-abstract)?:/;
const ADDRESS = /^(dns:(\/\/[^/]*\/)?|ipv4:|ipv6:)?/;

/** Throws TypeError for an address that gRPC would complete by guessing: a URL, or one without a port. */
export function checkTarget(target: string): void {
  if (target === "") {
    throw new TypeError(`target is empty: write host:port, such as "127.0.0.1:${DEFAULT_PORT}"`);
  }
  const url = URL.exec(target);
  if (url) {
    const meant = withPort(url[2] ?? "");
    throw new TypeError(`target "${target}" is a URL: write host:port, such as "${meant}" (and tls: true for TLS)`);
  }
  if (UNIX.test(target) || (target.includes("://") && !target.startsWith("dns:"))) {
    return;
  }
  for (const address of target.replace(ADDRESS, "").split(",")) {
    checkPort(target, address);
  }
}

/** Whether only this machine is at a target. */
export function isLocal(target: string): boolean {
  if (UNIX.test(target)) {
    return true;
  }
  return target
    .replace(ADDRESS, "")
    .split(",")
    .every((address) => {
      const host = split(address).host.replace(/^\[|\]$/g, "");
      return host.toLowerCase() === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));
    });
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
}

/** An IPv6 address without brackets has no port. */
function split(address: string): { host: string; port: string | undefined } {
  const found = /^(\[[^\]]*\]|[^:]*):([^:]*)$/.exec(address);
  return found ? { host: found[1] ?? "", port: found[2] } : { host: address, port: undefined };
}

/** The address that was probably meant. */
function withPort(address: string): string {
  if (split(address).port) {
    return address;
  }
  return `${isIP(address) === 6 ? `[${address}]` : address.replace(/:$/, "") || "localhost"}:${DEFAULT_PORT}`;
}
