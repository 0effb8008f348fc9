//! From a runner's session to a checkpoint and back, as weavegraph does it.

use std::time::SystemTime;

use crate::{Error, proto::*};

impl Checkpoint {
    /// A checkpoint of a session as it is now.
    ///
    /// Nodes that ran or were skipped and channels that changed are not known to a session and stay empty; see
    /// [`from_step_report`](Self::from_step_report).
    pub fn from_session(session_id: impl Into<String>, session: &SessionState) -> Self {
        Self {
            session_id: session_id.into(),
            step: session.step,
            state: Some(session.state.clone().unwrap_or_default()),
            frontier: session.frontier.clone(),
            versions_seen: session.scheduler_state.clone().unwrap_or_default().versions_seen,
            concurrency_limit: session.scheduler.map_or(0, |scheduler| scheduler.concurrency_limit),
            created_at: Some(SystemTime::now().into()),
            ..Default::default()
        }
    }

    /// A checkpoint of a session after a step, with what the step's report says of it.
    ///
    /// Step and frontier are the session's: they are what a runner resumes with.
    pub fn from_step_report(session_id: impl Into<String>, session: &SessionState, report: &StepReport) -> Self {
        Self {
            ran_nodes: report.ran_nodes.clone(),
            skipped_nodes: report.skipped_nodes.clone(),
            updated_channels: report.updated_channels.clone(),
            ..Self::from_session(session_id, session)
        }
    }

    /// The session that this checkpoint was made from, to go on with.
    ///
    /// Fails for a checkpoint without a state: only its header was loaded, or it was saved without a state. A runner
    /// that went on from there would have lost everything.
    pub fn restore_session(&self) -> Result<SessionState, Error> {
        let Some(state) = &self.state else {
            return Err(Error::invalid(format!(
                "the checkpoint of session {:?} at step {} has no state: it was loaded with the header view, or saved \
                 without a state. Load it with the full view, or load another checkpoint",
                self.session_id, self.step
            )));
        };
        Ok(SessionState {
            state: Some(state.clone()),
            step: self.step,
            frontier: self.frontier.clone(),
            scheduler: Some(Scheduler { concurrency_limit: self.concurrency_limit }),
            scheduler_state: Some(SchedulerState { versions_seen: self.versions_seen.clone() }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_without_a_state_is_not_taken_for_a_session() {
        let checkpoint = Checkpoint { session_id: "s".into(), step: 4, ..Default::default() };
        let error = checkpoint.restore_session().unwrap_err().to_string();
        assert!(error.contains("session \"s\" at step 4 has no state"), "{error}");
        assert!(error.contains("or saved without a state"), "{error}");
    }
}
