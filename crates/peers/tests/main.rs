//! One program: the reference model under random operations, each rule by name, known defects of
//! other implementations, adversaries. Virtual time only.

mod admission;
mod adversary;
mod common;
mod defects;
mod evict;
mod inventory;
mod lanes;
mod life_signs;
mod lifecycle;
mod limits;
mod model;
mod requests;
mod status;
mod streams;
mod traffic;
