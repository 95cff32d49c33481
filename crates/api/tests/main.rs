//! The API against nodes that run: contracts, subscribers of every pace, hostile calls.

mod calls;
mod common;
mod http;
mod messages;
mod places;
mod subscribers;
