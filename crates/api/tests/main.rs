//! The API against nodes that run: contracts, subscribers of every pace, hostile calls.

#![cfg(test)]

mod calls;
mod common;
mod http;
mod messages;
mod places;
mod subscribers;
mod tls;
