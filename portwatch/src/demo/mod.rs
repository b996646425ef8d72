//! The stage of `portwatch demo`: a network namespace of its own and three services that make a real conflict in it.

pub mod actor;
pub mod namespace;
pub mod service;
