//! The history as a whole, in a folder of its own.
