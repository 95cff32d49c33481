//! Hexadecimal digits to bytes, and nothing else.

/// Reads exactly as many bytes as `into` holds; `None` when these are not that many pairs of digits.
pub(crate) fn fill(digits: &[u8], into: &mut [u8]) -> Option<()> {
    if digits.len() != 2 * into.len() || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    for (byte, pair) in into.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(())
}
