//! The crate's tests: one program, a module per file.
