//! Times in JSON: RFC 3339 in UTC, always nine digits, so that they sort as text.

use jiff::Timestamp;
use serde::Serializer;

pub(super) fn serialize<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{time:.9}"))
}

/// The same for times that may not be known.
pub(super) mod option {
    use super::{Serializer, Timestamp};

    pub(in super::super) fn serialize<S: Serializer>(
        time: &Option<Timestamp>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => super::serialize(time, serializer),
            None => serializer.serialize_none(),
        }
    }
}
