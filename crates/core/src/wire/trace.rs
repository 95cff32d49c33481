//! What a reader remembers of the fields it read.

use std::net::IpAddr;

/// A field as a traced reader saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// The group it stands in, such as `addr_from`, with its index in a list.
    pub group: Option<Group>,
    /// Its name.
    pub name: &'static str,
    /// Offset of its first byte in the payload, in bytes.
    pub offset: usize,
    /// Its length in bytes.
    pub len: usize,
    /// Its value.
    pub value: FieldValue,
}

/// A structure or list entry that several fields belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    /// The structure's name.
    pub name: &'static str,
    /// Its index, counted from 0, where it is one of a list.
    pub index: Option<usize>,
}

impl Field {
    /// `services`, `addr_from.port`, `addrs[3].time`.
    pub fn path(&self) -> String {
        match self.group {
            None => self.name.to_owned(),
            Some(Group { name, index: None }) => format!("{name}.{}", self.name),
            Some(Group {
                name,
                index: Some(index),
            }) => format!("{name}[{index}].{}", self.name),
        }
    }
}

/// The value of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldValue {
    /// An unsigned number.
    Uint(u64),
    /// A signed number.
    Int(i64),
    /// An address.
    Ip(IpAddr),
    /// Bytes that were read as text.
    Text(Vec<u8>),
    /// Bytes.
    Bytes(Vec<u8>),
    /// The header of a list; its items follow as fields of their own.
    List {
        /// The length of what is in it, in bytes.
        len: usize,
    },
}

/// The fields a reader has read so far. A reader that is not traced has none and pays nothing.
#[derive(Debug, Default)]
pub struct Trace {
    fields: Vec<Field>,
    group: Option<Group>,
}

impl Trace {
    /// Fields from here on belong to `name`, entry `index` where it is a list.
    pub const fn enter(&mut self, name: &'static str, index: Option<usize>) {
        self.group = Some(Group { name, index });
    }

    /// Fields from here on belong to no group.
    pub const fn leave(&mut self) {
        self.group = None;
    }

    /// Remembers a field of `len` bytes that starts at `offset`.
    pub fn note(&mut self, name: &'static str, offset: usize, len: usize, value: FieldValue) {
        self.fields.push(Field {
            group: self.group,
            name,
            offset,
            len,
            value,
        });
    }

    /// The fields in the order they were read.
    pub fn into_fields(self) -> Vec<Field> {
        self.fields
    }
}
