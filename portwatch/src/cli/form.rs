//! How the answer of a command about one thing is shown.

use clap::ValueEnum;

/// How the answer is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Form {
    /// For people
    #[default]
    Text,
    /// One JSON object
    Json,
}
