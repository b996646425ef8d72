//! Stories of made-up conflicts.

mod clash;
mod finding;
mod golden;
mod stored;
mod table;
mod today;
mod world;
