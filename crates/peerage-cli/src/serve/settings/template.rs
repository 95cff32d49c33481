//! The configuration that `peerage config init` writes: every key, with what it is for.

use std::fmt::Write as _;

use super::keys::{KEYS, Key};
use crate::args::NetworkArg;

/// The width of comments.
const WIDTH: usize = 96;

/// A file in which every key stands, commented out but for the network and the chain.
pub(super) fn template(network: NetworkArg, chain: &str) -> String {
    let mut text = String::from(
        "# The configuration of `peerage serve`. What is commented out is not in force: its value is an\n\
         # example. `peerage config check` finds mistakes, `peerage config show --origin` says what counts\n\
         # and why. Keys marked \"reload\" are read again on SIGHUP, the others at the next start.\n",
    );
    let mut table = "";
    for key in KEYS {
        let (within, name) = key.name.rsplit_once('.').unwrap_or(("", key.name));
        if within != table {
            table = within;
            text += &match within {
                "node" => "\n# One [[node]] for each network and chain.\n[[node]]\n".to_owned(),
                "log" | "api" => format!("\n[{within}]\n"),
                _ => String::new(),
            };
        }
        let name = match within.split_once('.') {
            Some((_, table)) => format!("{table}.{name}"),
            None => name.to_owned(),
        };
        text += &comment(key);
        let line = match key.name {
            "node.network" => format!("network = \"{}\"\n", network.0.network()),
            "node.chain" => format!("chain = \"{chain}\"\n"),
            _ => format!("#{name} = {}\n", key.example),
        };
        text += &line;
    }
    text
}

/// What a key is for, in lines of comment.
fn comment(key: &Key) -> String {
    let default = match key.default {
        "" => "Must be given.".to_owned(),
        default => format!("Default: {default}."),
    };
    let whole = format!("{} {default} ({})", key.what, key.when.name());
    let mut text = String::from("\n");
    let mut line = String::from("#");
    for word in whole.split(' ') {
        if line.len() + 1 + word.len() > WIDTH {
            text = text + &line + "\n";
            line = "#".into();
        }
        // Writing to a string never fails.
        let _written = write!(line, " {word}");
    }
    text + &line + "\n"
}

#[cfg(test)]
mod tests {
    use super::template;
    use crate::serve::config::{File, Source, parse};
    use crate::serve::settings::keys::KEYS;

    fn read(text: &str) -> File {
        let (path, text) = ("t".into(), text.to_owned());
        let source = Source { path, text };
        parse(&source).unwrap_or_else(|error| panic!("{error}\n{}", source.text))
    }

    fn uncommented(text: &str) -> String {
        // Prose has a space behind its mark, values have none.
        let lines = text.lines().map(|line| match line.strip_prefix('#') {
            Some(value) if !value.starts_with(' ') && !value.is_empty() => value,
            _ => line,
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_file_is_without_a_mistake_as_it_is_and_with_every_example_in_force() {
        let text = template("zcash".parse().unwrap(), "testnet");
        let file = read(&text);
        let node = file.nodes[0].get_ref();
        assert_eq!(node.chain(), "testnet");
        assert!(file.data.is_none() && node.listen.is_none());
        let whole = uncommented(&text);
        let file = read(&whole);
        let node = file.nodes[0].get_ref();
        assert_eq!((node.limits.inbound, node.bans.len()), (Some(125), 2));
        let boot = node
            .discovery
            .as_ref()
            .unwrap()
            .get_ref()
            .boot
            .as_ref()
            .unwrap();
        assert!(boot.is_empty() && node.head.is_some() && file.log.level.is_some());
        for key in KEYS {
            let name = key.name.strip_prefix("node.").unwrap_or(key.name);
            let name = name.strip_prefix("log.").unwrap_or(name);
            let name = name.strip_prefix("api.").unwrap_or(name);
            let begins = |line: &str| {
                line.trim_start_matches('#')
                    .starts_with(&format!("{name} ="))
            };
            assert!(text.lines().any(begins), "{name} is missing in\n{text}");
        }
        assert!(
            text.lines().all(|line| line.chars().count() <= 100),
            "{text}"
        );
    }
}
