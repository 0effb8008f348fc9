/** Waiting for a server that is ready to work, by gRPC's health checks. */

import type { Budget } from "./budget.js";
import { NoConnection, Unavailable, Unimplemented } from "./errors.js";
import type { Transport } from "./transport.js";

const POLL_MS = 100;

export async function waitReady(transport: Transport, budget: Budget): Promise<void> {
  while (!(await isServing(transport, budget))) {
    await budget.sleep(Math.min(POLL_MS, budget.remaining));
  }
}

async function isServing(transport: Transport, budget: Budget): Promise<boolean> {
  try {
    return await transport.isServing(budget);
  } catch (error) {
    if (error instanceof Unimplemented) {
      return true; // something without health checks, but it answers
    }
    if (error instanceof Unavailable && !(error instanceof NoConnection)) {
      return false;
    }
    throw error;
  }
}
