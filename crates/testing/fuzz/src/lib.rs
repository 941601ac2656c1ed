//! Fuzzing without a special toolchain: targets by name, a committed corpus, and mutation with a printed seed.
//!
//! A target is a function over bytes that may not panic, hang or break a promise it asserts. They are listed in
//! [`targets`]; their seeds lie under `fuzz/corpus/NAME/`, one input to a file. Coverage guidance is left out on purpose: it
//! needs another compiler, and whoever wants it can call the same functions from there.

pub mod campaign;
pub mod mutation;
mod streams;
pub mod targets;
