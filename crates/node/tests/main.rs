//! The loops of a node, with a network of words over loopback and a clock that only moves when
//! nothing else does.
#![cfg(test)]

mod common;
mod dialling;
mod duplicates;
mod finding;
mod gossip;
mod keeping;
mod pressure;
mod requests;
mod serving;
mod stopping;
mod stranger;
