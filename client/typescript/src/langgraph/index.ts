/**
 * LangGraph.js's threads on Lockstitch: `import { LockstitchSaver } from "lockstitch/langgraph"`.
 *
 * A thread is a session, `checkpoint_ns` a namespace; checkpoints keep their ids. docs/langgraph.md has the layout.
 */

export type { LeasePolicy } from "./leases.js";
export { LockstitchSaver, type LockstitchSaverOptions } from "./saver.js";
export { JsonSerializer } from "./serializer.js";
