//! What clients write in the place of a host on a unix socket, made readable.
//!
//! On a unix socket there is no host. Clients on the C core of gRPC, and some others, put the path of
//! the socket in its place (`%2Frun%2Fapi.sock`, `/run/api.sock`), and `h2` ends such a call with
//! PROTOCOL_ERROR before anybody is asked (`docs/decisions/`, authority on unix sockets). So each byte
//! of it that is in no name of a host is made a dash on the way in. Nothing gets longer or shorter: frames
//! and the tables of HPACK stay as the client counts them. Nobody here reads the authority.
//!
//! Frames: RFC 9113, sections 4.1 and 6.2; header blocks: RFC 7541, sections 5 and 6. A value in
//! Huffman code is left as it is: `h2` judges it as before.

/// The name of the field.
const NAME: &[u8] = b":authority";

/// Its place in the static table (RFC 7541, appendix A).
const INDEX: u32 = 1;

/// What every connection begins with (RFC 9113, section 3.4), in bytes.
const PREFACE: u32 = 24;

/// The head of a frame, in bytes.
const HEAD: usize = 9;

/// What comes before a header block that has a priority, in bytes.
const PRIORITIES: u32 = 5;

const HEADERS: u8 = 0x1;
const CONTINUATION: u8 = 0x9;

const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;
const END_HEADERS: u8 = 0x4;

/// Where in the stream we are.
#[derive(Clone, Copy, Debug)]
enum At {
    /// In the head of a frame, of which so many bytes were.
    Head([u8; HEAD], usize),
    /// At the length of the padding.
    Padding(Body),
    /// In the rest of a frame.
    Body(Body),
    /// Nowhere: no client sends this, and it is for `h2` to say so.
    Lost,
}

/// What is left of a frame, in bytes. A frame of another kind is nothing but `before`.
#[derive(Clone, Copy, Debug)]
struct Body {
    before: u32,
    block: u32,
    after: u32,
    /// Whether the header block is over with it.
    ends: bool,
}

/// How a name goes on: as ours, of which so many bytes were, or not.
type Match = Option<usize>;

/// Where in a header block we are.
#[derive(Clone, Copy, Debug)]
enum Field {
    /// At the first byte of a field.
    Start,
    /// In a number.
    Number(Number, What),
    /// At the length of a string.
    Len(What),
    /// In a string that is nothing to us, a name, or a value.
    Text(u32, What),
}

/// What a number or a string is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// An index or a size, after which the next field begins.
    Alone,
    /// The index of a name.
    Index,
    /// A name.
    Name(Match),
    /// A value; whether it is the authority's, in plain bytes.
    Value(bool),
}

/// A number of which more bytes come (RFC 7541, section 5.1).
#[derive(Clone, Copy, Debug)]
struct Number {
    value: u32,
    shift: u32,
}

impl Number {
    /// One more byte; the value where it was the last, nothing where it is longer than any that fits.
    fn more(&mut self, byte: u8) -> Option<Option<u32>> {
        // Four bytes after the first: 28 bits, and header lists are of 16 KiB.
        if self.shift > 21 {
            return None;
        }
        self.value += u32::from(byte & 0x7f) << self.shift;
        self.shift += 7;
        Some((byte & 0x80 == 0).then_some(self.value))
    }
}

/// Whether every name of a host may have such a byte. Ports and brackets are made dashes too: in a
/// path they would stand where no authority has them.
const fn belongs(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Reads what a client sends, and writes dashes where it has to.
#[derive(Debug)]
pub(crate) struct Filter {
    at: At,
    field: Field,
}

impl Filter {
    /// At the beginning of a connection.
    pub(crate) const fn new() -> Self {
        let preface = Body {
            before: PREFACE,
            block: 0,
            after: 0,
            ends: false,
        };
        Self {
            at: At::Body(preface),
            field: Field::Start,
        }
    }

    /// The next bytes of the stream, however it is cut.
    pub(crate) fn pass(&mut self, mut bytes: &mut [u8]) {
        while let Some(first) = bytes.first_mut() {
            let mut taken = 1;
            self.at = match self.at {
                At::Lost => return,
                At::Head(mut head, have) => {
                    if let Some(place) = head.get_mut(have) {
                        *place = *first;
                    }
                    match have + 1 {
                        HEAD => body(head),
                        have => At::Head(head, have),
                    }
                }
                At::Padding(mut of) => {
                    of.after = u32::from(*first);
                    match of.block.checked_sub(of.after) {
                        Some(block) => At::Body(Body { block, ..of }),
                        None => At::Lost,
                    }
                }
                At::Body(mut of) if of.before == 0 && of.block > 0 => {
                    of.block -= 1;
                    match self.field.byte(first) {
                        Some(field) => {
                            self.field = field;
                            At::Body(of)
                        }
                        None => At::Lost,
                    }
                }
                At::Body(mut of) => {
                    let left = match of.before {
                        0 => &mut of.after,
                        _ => &mut of.before,
                    };
                    let here = u32::try_from(bytes.len()).unwrap_or(u32::MAX).min(*left);
                    *left -= here;
                    taken = usize::try_from(here).unwrap_or(bytes.len());
                    At::Body(of)
                }
            };
            if let At::Body(of) = self.at
                && (of.before, of.block, of.after) == (0, 0, 0)
            {
                if of.ends {
                    self.field = Field::Start;
                }
                self.at = At::Head([0; HEAD], 0);
            }
            bytes = bytes.get_mut(taken..).unwrap_or_default();
        }
    }
}

/// What follows the head of a frame.
const fn body([a, b, c, kind, flags, ..]: [u8; HEAD]) -> At {
    let len = u32::from_be_bytes([0, a, b, c]);
    let ends = flags & END_HEADERS != 0;
    let mut of = Body {
        before: len,
        block: 0,
        after: 0,
        ends: false,
    };
    match kind {
        HEADERS => {
            let before = if flags & PRIORITY != 0 { PRIORITIES } else { 0 };
            let is_padded = flags & PADDED != 0;
            let around = before + if is_padded { 1 } else { 0 };
            let Some(block) = len.checked_sub(around) else {
                return At::Lost;
            };
            (of.before, of.block, of.ends) = (before, block, ends);
            if is_padded {
                return At::Padding(of);
            }
        }
        CONTINUATION => (of.before, of.block, of.ends) = (0, len, ends),
        _ => {}
    }
    At::Body(of)
}

/// A number whose first byte has so many bits of it; where it goes on.
fn number(byte: u8, bits: u32, what: What) -> Option<Field> {
    let most = (1_u32 << bits) - 1;
    let value = u32::from(byte) & most;
    if value == most {
        return Some(Field::Number(Number { value, shift: 0 }, what));
    }
    Field::counted(value, what)
}

impl Field {
    /// One more byte of the block; nothing where it is none.
    fn byte(self, byte: &mut u8) -> Option<Self> {
        match self {
            Self::Start => match *byte {
                // Indexed.
                0x80.. => number(*byte, 7, What::Alone),
                // A literal that is remembered.
                0x40.. => number(*byte, 6, What::Index),
                // The size of the table.
                0x20.. => number(*byte, 5, What::Alone),
                // A literal that is not.
                _ => number(*byte, 4, What::Index),
            },
            Self::Number(mut so_far, what) => match so_far.more(*byte)? {
                Some(value) => Self::counted(value, what),
                None => Some(Self::Number(so_far, what)),
            },
            Self::Len(what) => {
                // In Huffman code it is not ours to read.
                let what = match what {
                    What::Name(_) if *byte & 0x80 != 0 => What::Name(None),
                    What::Value(_) if *byte & 0x80 != 0 => What::Value(false),
                    What::Alone | What::Index | What::Name(_) | What::Value(_) => what,
                };
                number(*byte, 7, what)
            }
            Self::Text(left, what) => {
                let what = match what {
                    What::Name(have) => What::Name(
                        have.filter(|have| NAME.get(*have) == Some(&*byte))
                            .map(|have| have + 1),
                    ),
                    What::Value(true) => {
                        if !belongs(*byte) {
                            *byte = b'-';
                        }
                        what
                    }
                    What::Alone | What::Index | What::Value(false) => what,
                };
                Some(Self::text(left - 1, what))
            }
        }
    }

    /// What follows a number.
    fn counted(value: u32, what: What) -> Option<Self> {
        match what {
            What::Alone => Some(Self::Start),
            What::Index if value == 0 => Some(Self::Len(What::Name(Some(0)))),
            What::Index => Some(Self::Len(What::Value(value == INDEX))),
            What::Name(_) | What::Value(_) => Some(Self::text(value, what)),
        }
    }

    /// So many bytes of a string are left.
    fn text(left: u32, what: What) -> Self {
        match what {
            _ if left > 0 => Self::Text(left, what),
            What::Name(have) => Self::Len(What::Value(have == Some(NAME.len()))),
            What::Alone | What::Index | What::Value(_) => Self::Start,
        }
    }
}

#[cfg(test)]
mod tests;
