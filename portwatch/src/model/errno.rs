//! The error of a refused call, by its name.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;

/// What a refused call returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Errno(pub u32);

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match i32::try_from(self.0) {
            Ok(libc::EADDRINUSE) => f.write_str("EADDRINUSE"),
            Ok(libc::EADDRNOTAVAIL) => f.write_str("EADDRNOTAVAIL"),
            Ok(libc::EAGAIN) => f.write_str("EAGAIN"),
            _ => write!(f, "errno {}", self.0),
        }
    }
}

impl Serialize for Errno {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Errno {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        let number = match text.as_ref() {
            "EADDRINUSE" => Some(libc::EADDRINUSE.unsigned_abs()),
            "EADDRNOTAVAIL" => Some(libc::EADDRNOTAVAIL.unsigned_abs()),
            "EAGAIN" => Some(libc::EAGAIN.unsigned_abs()),
            other => other.strip_prefix("errno ").and_then(|number| number.parse().ok()),
        };
        number.map(Self).ok_or_else(|| D::Error::custom(format!("no such errno: {text:?}")))
    }
}
