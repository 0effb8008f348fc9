//! Conversion of a runner's session to a checkpoint and back, as weavegraph does it.

use std::time::SystemTime;

use crate::{Error, proto::*};

impl Checkpoint {
    /// A checkpoint of a session as it is now.
    ///
    /// A session does not know which nodes ran or were skipped, and which channels changed: these fields stay empty. See
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

    /// A checkpoint of a session after a step, with the nodes and channels of the step's report.
    ///
    /// Step and frontier are those of the session, because a runner resumes with them.
    pub fn from_step_report(session_id: impl Into<String>, session: &SessionState, report: &StepReport) -> Self {
        Self {
            ran_nodes: report.ran_nodes.clone(),
            skipped_nodes: report.skipped_nodes.clone(),
            updated_channels: report.updated_channels.clone(),
            ..Self::from_session(session_id, session)
        }
    }

    /// The session that this checkpoint was made from, to continue with.
    ///
    /// Fails for a checkpoint without a state, because a runner would continue with an empty one: only the header was
    /// loaded, or the checkpoint was saved without a state.
    ///
    /// ```no_run
    /// # async fn run(client: lockstitch::Client) -> Result<(), lockstitch::Error> {
    /// use lockstitch::Checkpoint;
    /// if let Some(latest) = client.load_latest("order-4711").await?.checkpoint {
    ///     let mut session = latest.restore_session()?;
    ///     session.step += 1;
    ///     client.save(Checkpoint::from_session("order-4711", &session)).await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
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
