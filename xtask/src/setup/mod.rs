//! What a fresh machine lacks, each thing installed where it is first needed and cached.

pub(crate) mod apt;
pub(crate) mod archive;
pub(crate) mod bpf_linker;
pub(crate) mod peers;
pub(crate) mod prometheus;
pub(crate) mod rust_src;
