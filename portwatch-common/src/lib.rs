//! What the kernel side and the user side of portwatch agree on: records, tables, tuning values, field offsets.
//!
//! Everything that crosses is `repr(C)` with explicit padding, without `bool`, `Option` or data enums, so that any bytes are a
//! valid value of every type and decoding can never be undefined behaviour. Of the kernel side's logic this crate has the parts
//! that are tested without a kernel: the tables ([`bucket`]) and which record belongs to which socket ([`identity`]).
#![no_std]

pub mod bucket;
pub mod code;
pub mod counter;
pub mod identity;
mod layout;
pub mod map;
pub mod marks;
pub mod offsets;
#[cfg(feature = "user")]
mod pod;
pub mod record;

pub use bucket::Bucket;
pub use marks::{Constants, Tuning};
pub use offsets::Offsets;
pub use record::{
    Assignment, Attempt, Call, Cpu, Holder, LastOwner, PortKey, Process, ProcessKey, Recent, Refusal, Socket,
    Task,
};
