/**
 * Session stores of the Claude Agent SDK on Lockstitch: `import { LockstitchSessionStore } from "lockstitch/claude-agent-sdk"`.
 * Nothing of the SDK is imported. docs/claude-agent-sdk.md has the layout.
 */

export type { SessionKey } from "./layout.js";
export {
  type FoldSessionSummary,
  LockstitchSessionStore,
  type LockstitchSessionStoreOptions,
  type SessionEntry,
  type SessionSummary,
} from "./store.js";
