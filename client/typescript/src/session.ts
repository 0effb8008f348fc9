/** From a session as a runner holds it to a checkpoint, and back. */

import type { Checkpoint, Init, SessionState, StepReport } from "./checkpoint.js";
import { checkpointCodec, sessionStateCodec } from "./wire/messages.js";

/**
 * A checkpoint of a session as it is now. It is a copy: what happens to the session afterwards does not change it.
 * `createdAt` is now.
 */
export function checkpointFromSession(sessionId: string, session: Init<SessionState>): Checkpoint {
  const { state, step, frontier, scheduler, schedulerState } = copied(session);
  return {
    sessionId,
    namespace: "",
    checkpointId: "",
    parentId: "",
    step,
    state: state ?? { custom: {} },
    frontier,
    versionsSeen: schedulerState?.versionsSeen ?? {},
    concurrencyLimit: scheduler?.concurrencyLimit ?? 0n,
    createdAt: new Date(),
    ranNodes: [],
    skippedNodes: [],
    updatedChannels: [],
    metadata: {},
    dependsOn: "",
  };
}

/**
 * A checkpoint of a session after a step, with what the step's report says of it. Step and frontier are the session's:
 * they are what a runner resumes with.
 */
export function checkpointFromStepReport(
  sessionId: string,
  session: Init<SessionState>,
  report: Init<StepReport>,
): Checkpoint {
  const { ranNodes = [], skippedNodes = [], updatedChannels = [] } = report;
  const checkpoint = checkpointFromSession(sessionId, session);
  const copy = checkpointCodec.decode(checkpointCodec.encode({ ranNodes, skippedNodes, updatedChannels }));
  return Object.assign(checkpoint, {
    ranNodes: copy.ranNodes,
    skippedNodes: copy.skippedNodes,
    updatedChannels: copy.updatedChannels,
  });
}

/**
 * The session that a checkpoint was made from, to go on with. Throws TypeError for a checkpoint without a state: it was
 * loaded with `view: "header"`, or saved without a state. A runner that went on from there would have lost everything.
 */
export function restoreSessionState(checkpoint: Checkpoint): SessionState {
  if (checkpoint.state === undefined) {
    throw new TypeError(
      `the checkpoint of session "${checkpoint.sessionId}" at step ${checkpoint.step} has no state: it was loaded with ` +
        'view: "header", or saved without a state. Load it with view: "full", or load another checkpoint',
    );
  }
  const copy = checkpointCodec.decode(checkpointCodec.encode(checkpoint));
  const { state, step, frontier, concurrencyLimit, versionsSeen } = copy;
  return { state, step, frontier, scheduler: { concurrencyLimit }, schedulerState: { versionsSeen } };
}

/** Through its bytes: so that defaults are filled in, and fields of a newer contract are kept. */
function copied(session: Init<SessionState>): SessionState {
  return sessionStateCodec.decode(sessionStateCodec.encode(session, "session"));
}
