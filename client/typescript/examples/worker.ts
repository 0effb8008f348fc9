/**
 * A runner of a small workflow, which saves a checkpoint at every barrier and goes on from the latest one:
 *
 *     node worker.js TARGET SESSION_ID [MS_PER_NODE]
 *
 * Start it on any machine, kill it at any moment, start it again: the workflow goes on where it was.
 */

import { setTimeout as sleep } from "node:timers/promises";
import { Client, checkpointFromStepReport, END, NONE, node, restoreSessionState, type SessionState } from "lockstitch";

const WORKFLOW = ["plan", "search", "read", "draft", "review", "publish"];

const [target, sessionId = "demo", msPerNode = "100"] = process.argv.slice(2);

/** The session as it was at its last barrier; undefined if it has never been run. */
async function resume(client: Client): Promise<SessionState | undefined> {
  const { checkpoint } = await client.loadLatest(sessionId);
  if (checkpoint === undefined) {
    return undefined;
  }
  console.log("goes on after step", Number(checkpoint.step));
  return restoreSessionState(checkpoint);
}

/** A new session, saved as step 0. `NONE`: no other worker may have begun it meanwhile. */
async function begin(client: Client): Promise<SessionState> {
  console.log("begins");
  const items = [{ role: "user", content: "Write about lockstitch seams." }];
  const state = { messages: { version: 1, items }, custom: {} };
  const session: SessionState = { step: 0n, frontier: [node("plan")], state };
  await client.save(checkpointFromStepReport(sessionId, session, {}), { expectedLatest: NONE });
  return session;
}

/** Run the frontier's node up to the barrier: its output and the next frontier are in the session then. */
async function runStep(session: SessionState) {
  const ran = session.frontier;
  const name = WORKFLOW[Number(session.step)];
  await sleep(Number(msPerNode)); // here a model would be asked
  session.step += 1n;
  session.state?.messages?.items.push({ role: "assistant", content: `${name}: done` });
  const next = WORKFLOW[Number(session.step)];
  session.frontier = [next === undefined ? END : node(next)];
  return { ranNodes: ran, updatedChannels: ["messages"] };
}

const client = new Client(target);
const session = (await resume(client)) ?? (await begin(client));
while (session.frontier[0]?.custom !== undefined) {
  const before = session.step;
  const report = await runStep(session);
  await client.save(checkpointFromStepReport(sessionId, session, report), { expectedLatest: before });
  console.log("step", Number(session.step), "is safe");
}
console.log("finished");
client.close();
