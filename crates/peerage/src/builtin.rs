//! The networks that come with a table.

use peerage_verack::{Dialect, Table, decred, zcash};

/// A network of the version/verack family with a compiled-in table.
pub trait Builtin: Dialect {
    /// The scheme of its addresses.
    const SCHEME: &'static str;

    /// The compiled-in table.
    fn builtin_table() -> Table;
}

impl Builtin for zcash::Zcash {
    const SCHEME: &'static str = "zec";

    fn builtin_table() -> Table {
        zcash::builtin_table()
    }
}

impl Builtin for decred::Decred {
    const SCHEME: &'static str = "dcr";

    fn builtin_table() -> Table {
        decred::builtin_table()
    }
}
