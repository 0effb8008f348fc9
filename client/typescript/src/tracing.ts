/** OpenTelemetry's current context, passed on where the application has OpenTelemetry. */

import { createRequire } from "node:module";
import type { Metadata } from "@grpc/grpc-js";

type Api = typeof import("@opentelemetry/api");

const api = load();

/** The current context, as a propagator writes it down. */
export function currentContext(): Record<string, string> {
  const carrier: Record<string, string> = {};
  api?.propagation.inject(api.context.active(), carrier);
  return carrier;
}

/** Write the current context into what is sent with a call. */
export function inject(metadata: Metadata): void {
  api?.propagation.inject(api.context.active(), metadata, { set: (carrier, key, value) => carrier.set(key, value) });
}

/** Its parts keep their state in one place for the process, however they are loaded. */
function load(): Api | undefined {
  try {
    return createRequire(import.meta.url)("@opentelemetry/api") as Api;
  } catch {
    return undefined;
  }
}
