//! The tests of the crate, over loopback.

#![cfg(test)]

mod surveys;
