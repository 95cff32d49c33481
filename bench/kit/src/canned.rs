//! Frames that are sent as they stand. They say `/bench:1/`, a full node at height 0, which wants
//! no transactions. A test of the measuring program of ours reads them with the library.

/// What a peer made of bare sockets sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canned {
    /// The frame of its version.
    pub version: Vec<u8>,
    /// The frame of its verack.
    pub verack: Vec<u8>,
    /// A ping, which nobody may send before its version.
    pub ping: Vec<u8>,
    /// A message that no table knows, with 1,000 zeros in it.
    pub long: Vec<u8>,
}

impl Canned {
    /// Zcash testnet, version 170190.
    pub fn zcash() -> Self {
        Self::read(
            "fa1af9bf76657273696f6e00000000005f00000090c29872 \
                 ce980200010000000000000000d2496b00000000010000000000000000000000 \
                 0000000000000000000000000000010000000000000000000000000000000000 \
                 00000000000000002165676172656570092f62656e63683a312f0000000000",
            "fa1af9bf76657261636b000000000000000000005df6e0e2",
            "fa1af9bf70696e67000000000000000008000000ce7b88f1 \
                 0707070707070707",
            "fa1af9bf6a756e6b0000000000000000e80300003fa2b684",
        )
    }

    /// Decred simnet, version 11, the newest that a tagged peer package of dcrd speaks.
    pub fn decred() -> Self {
        Self::read(
            "161c141276657273696f6e00000000005f0000003b36d29a \
                 0b000000010000000000000000d2496b00000000010000000000000000000000 \
                 0000000000000000000000000000010000000000000000000000000000000000 \
                 00000000000000002165676172656570092f62656e63683a312f0000000000",
            "161c141276657261636b00000000000000000000716f6e86",
            "161c141270696e67000000000000000008000000da5de521 \
                 0707070707070707",
            "161c14126a756e6b0000000000000000e8030000e63f5343",
        )
    }

    fn read(version: &str, verack: &str, ping: &str, long: &str) -> Self {
        let mut long = bytes(long);
        long.resize(24 + 1000, 0);
        Self {
            version: bytes(version),
            verack: bytes(verack),
            ping: bytes(ping),
            long,
        }
    }
}

/// Bytes from hexadecimal digits; white space between them is skipped.
fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u32> = hex.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits
        .chunks(2)
        .map(|pair| (pair[0] << 4 | pair[1]) as u8)
        .collect()
}
