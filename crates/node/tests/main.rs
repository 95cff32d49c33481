//! The tests of the node.

#![cfg(test)]
