//! The reference of the interface, made of its description.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use prost_reflect::{DescriptorPool, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};

use crate::json::{Described, is_optional};

/// The comments of all files: by file, then by place.
pub(crate) struct Comments(BTreeMap<(String, Vec<i32>), String>);

/// Text in one line.
pub(crate) fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl Comments {
    pub(crate) fn new(pool: &DescriptorPool) -> Self {
        let mut all = BTreeMap::new();
        for file in pool.files() {
            let proto = file.file_descriptor_proto();
            let places = proto
                .source_code_info
                .iter()
                .flat_map(|info| &info.location);
            for place in places {
                let text = words(place.leading_comments());
                if !text.is_empty() {
                    all.insert((file.name().to_owned(), place.path.clone()), text);
                }
            }
        }
        Self(all)
    }

    /// What is said of a place; nothing where nothing is.
    pub(crate) fn of(&self, file: &str, path: &[i32]) -> &str {
        let found = self.0.get(&(file.to_owned(), path.to_vec()));
        found.map_or("", String::as_str)
    }
}

/// The files, in the order in which they are told.
const FILES: &[(&str, &str)] = &[
    ("peerage/v1/service.proto", "The daemon"),
    ("peerage/v1/peer.proto", "Peers and bans"),
    ("peerage/v1/message.proto", "Messages"),
    ("peerage/v1/stream.proto", "Subscriptions"),
    ("peerage/v1/book.proto", "The book"),
    ("peerage/v1/reason.proto", "Reasons"),
];

/// What stands before what is made of the description.
const HEAD: &str = include_str!("../reference.md");

/// The whole reference, as Markdown.
pub fn markdown() -> String {
    let pool = Described::new().0;
    let comments = Comments::new(&pool);
    let mut text = HEAD.to_owned();
    calls(&mut text, &pool, &comments);
    for (name, title) in FILES {
        let Some(file) = pool.get_file_by_name(name) else {
            continue;
        };
        let _infallible = write!(text, "\n## {title}\n");
        for message in file.messages() {
            message_of(&mut text, &message, &comments);
        }
        for of in file.enums() {
            enum_of(&mut text, &of, &comments);
        }
    }
    text
}

fn calls(text: &mut String, pool: &DescriptorPool, comments: &Comments) {
    for service in pool
        .services()
        .filter(|of| of.package_name() == "peerage.v1")
    {
        let file = service.parent_file();
        let words = comments.of(file.name(), service.path());
        let _infallible = write!(text, "\n## {}\n\n{words}\n\n", service.full_name());
        text.push_str("| call | takes | gives | over HTTP | |\n|---|---|---|---|---|\n");
        for method in service.methods() {
            let path = crate::http::CALLS
                .iter()
                .find(|call| call.name == method.name());
            let path = match path {
                Some(call) if call.reads => format!("`GET {}`", call.path),
                Some(call) => format!("`POST {}`", call.path),
                None if method.is_server_streaming() => "`GET /v1/events`".to_owned(),
                None => String::new(),
            };
            let stream = if method.is_server_streaming() {
                "stream of "
            } else {
                ""
            };
            let _infallible = writeln!(
                text,
                "| `{}` | {} | {stream}{} | {path} | {} |",
                method.name(),
                link(method.input().name()),
                link(method.output().name()),
                comments.of(file.name(), method.path()),
            );
        }
    }
}

fn link(name: &str) -> String {
    format!("[{name}](#{})", name.to_ascii_lowercase())
}

fn message_of(text: &mut String, of: &MessageDescriptor, comments: &Comments) {
    let file = of.parent_file();
    let words = comments.of(file.name(), of.path());
    let _infallible = write!(text, "\n### {}\n\n{words}\n", of.name());
    if of.fields().len() == 0 {
        return;
    }
    text.push_str("\n| field | type | |\n|---|---|---|\n");
    let mut fields: Vec<_> = of.fields().collect();
    fields.sort_by_key(FieldDescriptor::number);
    for field in fields {
        let words = comments.of(file.name(), field.path());
        let _infallible = writeln!(
            text,
            "| `{}` {} | {} | {words} |",
            field.name(),
            field.number(),
            kind(&field)
        );
    }
}

fn kind(field: &FieldDescriptor) -> String {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the others have names of their own"
    )]
    let kind = match field.kind() {
        Kind::Message(of) => link(of.name()),
        Kind::Enum(of) => link(of.name()),
        of => format!("{of:?}").to_ascii_lowercase(),
    };
    let choice = field.containing_oneof().filter(|_| !is_optional(field));
    match (field.is_list(), is_optional(field), choice) {
        (true, ..) => format!("several {kind}"),
        (_, true, _) => format!("{kind}, optional"),
        (.., Some(of)) => format!("{kind}, one of `{}`", of.name()),
        _ => kind,
    }
}

fn enum_of(text: &mut String, of: &EnumDescriptor, comments: &Comments) {
    let file = of.parent_file();
    let words = comments.of(file.name(), of.path());
    let _infallible = write!(
        text,
        "\n### {}\n\n{words}\n\n| value | |\n|---|---|\n",
        of.name()
    );
    for value in of.values() {
        let words = comments.of(file.name(), value.path());
        let _infallible = writeln!(text, "| `{}` {} | {words} |", value.name(), value.number());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `docs/api.md` is what the description says; `PEERAGE_REWRITE=1 cargo test -p peerage-api
    /// --lib reference` writes it.
    #[test]
    fn the_reference_in_the_docs_is_of_this_interface() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/api.md");
        let made = markdown();
        if std::env::var_os("PEERAGE_REWRITE").is_some() {
            std::fs::write(path, &made).unwrap();
        }
        let there = std::fs::read_to_string(path).unwrap();
        assert!(
            there == made,
            "docs/api.md is old: PEERAGE_REWRITE=1 cargo test -p peerage-api --lib reference"
        );
    }

    #[test]
    fn everything_has_its_comment() {
        let pool = Described::new().0;
        let comments = Comments::new(&pool);
        let mut bare = Vec::new();
        let mut check = |file: &str, path: &[i32], name: &str| {
            if comments.of(file, path).is_empty() {
                bare.push(name.to_owned());
            }
        };
        let ours = pool
            .files()
            .filter(|file| file.package_name() == "peerage.v1");
        let (mut messages, mut calls) = (0, 0);
        for file in ours {
            assert!(
                FILES.iter().any(|(name, _)| *name == file.name()),
                "{}",
                file.name()
            );
            for service in file.services() {
                check(file.name(), service.path(), service.name());
                for method in service.methods() {
                    calls += 1;
                    check(file.name(), method.path(), method.full_name());
                }
            }
            for message in file.messages() {
                messages += 1;
                check(file.name(), message.path(), message.name());
                for field in message.fields() {
                    check(file.name(), field.path(), field.full_name());
                }
            }
            for of in file.enums() {
                check(file.name(), of.path(), of.name());
                for value in of.values() {
                    check(file.name(), value.path(), value.full_name());
                }
            }
        }
        assert!(bare.is_empty(), "without a comment: {bare:?}");
        assert!(
            messages > 60 && calls == 23,
            "{messages} messages, {calls} calls"
        );
    }
}
