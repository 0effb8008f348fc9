//! Places in a state, and errors that name them.

use std::fmt;

use crate::Error;

/// How deep values may be nested: all clients can read that.
pub(super) const MAX_DEPTH: usize = 500;

#[derive(Clone, Debug)]
pub(super) enum Part {
    Key(String),
    Index(usize),
}

/// A place in a state, such as `state["cart"]["items"][2]`.
#[derive(Clone, Debug, Default)]
pub(super) struct Path(Vec<Part>);

impl Path {
    pub(super) fn of(keys: &[&str]) -> Self {
        Self(keys.iter().map(|key| Part::Key((*key).to_owned())).collect())
    }

    pub(super) fn parts(&self) -> &[Part] {
        &self.0
    }

    /// What `work` gives for a place inside this one.
    pub(super) fn within<R>(
        &mut self,
        part: Part,
        work: impl FnOnce(&mut Self) -> Result<R, Error>,
    ) -> Result<R, Error> {
        self.0.push(part);
        let result = work(self);
        self.0.pop();
        result
    }

    /// Fails if a list or a map stands here, even an empty one, and is nested too deep.
    pub(super) fn check_depth(&self) -> Result<(), Error> {
        if self.0.len() > MAX_DEPTH {
            return Err(Self::default().refuse(format!("is nested more than {MAX_DEPTH} deep")));
        }
        Ok(())
    }

    pub(super) fn refuse(&self, problem: impl fmt::Display) -> Error {
        Error::refused(self.to_string(), problem)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("state")?;
        self.0.iter().try_for_each(|part| match part {
            Part::Key(key) => write!(f, "[{key:?}]"),
            Part::Index(index) => write!(f, "[{index}]"),
        })
    }
}
