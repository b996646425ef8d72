//! Where raw records come from: the ring buffer of the attached kernel side.

mod ring;

pub use ring::{Feed, Losses, spawn};
