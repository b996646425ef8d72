//! The history as a whole: with other processes, other users, full disks and broken files.

mod command;
mod file;
mod full;
mod life;
mod query;
mod support;
