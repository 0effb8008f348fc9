//! Threads of plain state.

mod check;
mod json;
mod layout;
mod path;
#[cfg(test)]
mod tests;
mod thread;

pub use json::{json_text, json_value};
pub use thread::{Thread, Version};
