//! The HTTP endpoint as clients meet it: over real connections, with the bytes that they send.

mod limits;
mod plain;
mod stage;
mod web_config;
