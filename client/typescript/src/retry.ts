/** How long to wait before something is tried again. */

import { type LockstitchError, NoConnection, RateLimited, Unavailable } from "./errors.js";

/**
 * How calls are repeated that ended with UNAVAILABLE, that a stopping server has reset, or that came too fast, until
 * their deadline. Every call can be repeated safely. Once a client has been connected, calls that find no connection wait
 * for one.
 */
export interface RetryPolicy {
  /** The first wait between two attempts, in milliseconds, give or take 20%. Default 100. */
  initialBackoffMs: number;
  /** The longest wait. Default 2000. */
  maxBackoffMs: number;
  /** How much longer each wait is than the one before. Default 3. */
  multiplier: number;
}

const DEFAULTS: RetryPolicy = { initialBackoffMs: 100, maxBackoffMs: 2000, multiplier: 3 };
const JITTER = 0.2;

/** The policy that a caller asked for; undefined for none. Throws RangeError. */
export function retryPolicy(given: Partial<RetryPolicy> | boolean): RetryPolicy | undefined {
  if (given === false) {
    return undefined;
  }
  const policy = { ...DEFAULTS, ...(given === true ? {} : given) };
  if (!(policy.initialBackoffMs > 0 && policy.maxBackoffMs > 0 && policy.multiplier > 0)) {
    throw new RangeError("initialBackoffMs, maxBackoffMs and multiplier must be above 0");
  }
  return policy;
}

/** Milliseconds to wait after a number of failures in a row, 1 and above. */
export function backoff(policy: RetryPolicy, failures: number): number {
  const grown = policy.initialBackoffMs * policy.multiplier ** Math.min(failures - 1, 100);
  return Math.min(grown, policy.maxBackoffMs) * (1 - JITTER + 2 * JITTER * Math.random());
}

/** Milliseconds to wait before a failed call is made again; undefined: it is not. */
export function pauseAfter(error: unknown, policy: RetryPolicy | undefined, failures: number): number | undefined {
  if (policy === undefined || !isPassing(error)) {
    return undefined;
  }
  return Math.max(backoff(policy, failures), error.retryDelayMs ?? 0);
}

function isPassing(error: unknown): error is LockstitchError {
  return (error instanceof Unavailable && !(error instanceof NoConnection)) || error instanceof RateLimited;
}
