/** From a session as a runner holds it to a checkpoint, and back. */

import { clone, create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampNow } from "@bufbuild/protobuf/wkt";
import {
  type Checkpoint,
  CheckpointSchema,
  type SessionState,
  SessionStateSchema,
  StepReportSchema,
} from "./gen/lockstitch/v1/checkpoint_pb.js";

/**
 * A checkpoint of a session as it is now. It is a copy: what happens to the session afterwards does not change it.
 * `createdAt` is now.
 */
export function checkpointFromSession(
  sessionId: string,
  session: MessageInitShape<typeof SessionStateSchema>,
): Checkpoint {
  const { state, step, frontier, scheduler, schedulerState } = copied(session);
  return create(CheckpointSchema, {
    sessionId,
    step,
    state: state ?? {},
    frontier,
    concurrencyLimit: scheduler?.concurrencyLimit ?? 0n,
    versionsSeen: schedulerState?.versionsSeen ?? {},
    createdAt: timestampNow(),
  });
}

/**
 * A checkpoint of a session after a step, with what the step's report says of it. Step and frontier are the session's:
 * they are what a runner resumes with.
 */
export function checkpointFromStepReport(
  sessionId: string,
  session: MessageInitShape<typeof SessionStateSchema>,
  report: MessageInitShape<typeof StepReportSchema>,
): Checkpoint {
  const { ranNodes, skippedNodes, updatedChannels } = create(StepReportSchema, report);
  const checkpoint = checkpointFromSession(sessionId, session);
  return Object.assign(checkpoint, { ranNodes, skippedNodes, updatedChannels });
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
  const { state, step, frontier, concurrencyLimit, versionsSeen } = clone(CheckpointSchema, checkpoint);
  return create(SessionStateSchema, {
    state: state ?? {},
    step,
    frontier,
    scheduler: { concurrencyLimit },
    schedulerState: { versionsSeen },
  });
}

function copied(session: MessageInitShape<typeof SessionStateSchema>): SessionState {
  return clone(SessionStateSchema, create(SessionStateSchema, session));
}
