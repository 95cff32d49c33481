//! What stands in front of an item.

use peerage_core::wire::Problem;

/// The first bytes of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ItemHeader {
    pub(crate) list: bool,
    /// 0 to 9 bytes; a byte below 0x80 is its own payload.
    pub(crate) header_len: usize,
    pub(crate) payload_len: usize,
}

impl ItemHeader {
    /// Reads the header that `bytes` start with. Its payload need not be there.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Problem> {
        let missing = |needed: usize| Problem::Truncated {
            needed,
            left: bytes.len(),
        };
        let first = *bytes.first().ok_or_else(|| missing(1))?;
        let (list, short) = match first {
            0..=0x7f => {
                return Ok(Self {
                    list: false,
                    header_len: 0,
                    payload_len: 1,
                });
            }
            0x80..=0xbf => (false, first - 0x80),
            0xc0..=0xff => (true, first - 0xc0),
        };
        let Some(len_of_len) = short.checked_sub(55).map(usize::from).filter(|n| *n > 0) else {
            let header = Self {
                list,
                header_len: 1,
                payload_len: short.into(),
            };
            if first == 0x81 {
                let only = *bytes.get(1).ok_or_else(|| missing(2))?;
                if only < 0x80 {
                    let value = only.into();
                    return Err(Problem::NotCanonical { value });
                }
            }
            return Ok(header);
        };
        let header_len = 1 + len_of_len;
        let digits = bytes
            .get(1..header_len)
            .ok_or_else(|| missing(header_len))?;
        let value = be(digits);
        if value < 56 || digits.first() == Some(&0) {
            return Err(Problem::NotCanonical { value });
        }
        let payload_len = usize::try_from(value).map_err(|_| Problem::OverLimit {
            got: value,
            limit: usize::MAX as u64,
        })?;
        Ok(Self {
            list,
            header_len,
            payload_len,
        })
    }
}

/// At most eight bytes as a number, the most significant first.
pub(super) fn be(digits: &[u8]) -> u64 {
    digits
        .iter()
        .fold(0, |value, digit| value << 8 | u64::from(*digit))
}

/// A canonical number of at most eight bytes.
pub(crate) fn uint_of(payload: &[u8]) -> Result<u64, Problem> {
    if payload.len() > 8 {
        return Err(Problem::OverLimit {
            got: payload.len() as u64,
            limit: 8,
        });
    }
    let value = be(payload);
    if payload.first() == Some(&0) {
        return Err(Problem::NotCanonical { value });
    }
    Ok(value)
}
