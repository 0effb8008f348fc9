//! From a runner's session to a checkpoint and back, as weavegraph does it.

use std::time::SystemTime;

use crate::{Error, v1::*};

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
    /// Fails for a checkpoint without a state, such as one that was loaded as a header only: a runner that went on from
    /// there would have lost everything.
    pub fn restore_session(&self) -> Result<SessionState, Error> {
        let Some(state) = &self.state else {
            return Err(Error::invalid("this checkpoint holds no state; load it with the full view"));
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
