//! Tests of the in-proxy, as its callers use it.
