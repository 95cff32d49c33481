//! The commands a reader of the README will type, read from the README.
//!
//! An HTML comment, invisible on the page, marks the fenced block that follows it:
//!
//! ````text
//! <!-- test-command -->
//! ```sh
//! cargo test --workspace
//! ```
//! ````

use anyhow::{Context as _, Result, bail, ensure};

/// The words of the single command in the fenced block after `<!-- marker -->`.
///
/// # Errors
///
/// The marker is missing or repeated, no fenced block follows it, or the block is not exactly one
/// command that can be run without a shell.
pub(crate) fn command(readme: &str, marker: &str) -> Result<Vec<String>> {
    let comment = format!("<!-- {marker} -->");
    let mut lines = readme
        .lines()
        .map(str::trim)
        .skip_while(|line| *line != comment)
        .skip(1)
        .skip_while(|line| line.is_empty());
    let opening = lines
        .next()
        .with_context(|| format!("the README has no block marked {comment}"))?;
    ensure!(
        opening.starts_with("```"),
        "a fenced block must follow {comment} in the README, not {opening:?}"
    );
    ensure!(
        readme.matches(&comment).count() == 1,
        "the README marks two blocks {comment}"
    );
    let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
    let [command] = block[..] else {
        bail!("the block marked {comment} must be one command: {block:?}");
    };
    let command = command.trim_start_matches("$ ");
    ensure!(
        !command.contains(|c: char| "'\"\\|&;<>$`*?#".contains(c)),
        "the command marked {comment} needs a shell: {command}"
    );
    let words: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
    ensure!(!words.is_empty(), "the block marked {comment} is empty");
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::command;

    const README: &str = "\
# peerage

<!-- main-command -->
```sh
cargo run -p peerage-cli -- demo
```

<!-- test-command -->

```console
$ cargo test --workspace
```

<!-- two -->
```sh
one
two
```

<!-- shell -->
```sh
cargo run | head
```

<!-- prose -->
Nothing fenced.

<!-- empty -->
```

```

<!-- twice -->
```
a
```
<!-- twice -->
```
b
```
";

    #[test]
    fn a_marked_command_is_read_as_words() {
        let words = command(README, "main-command").unwrap();
        assert_eq!(
            words,
            ["cargo", "run", "-p", "peerage-cli", "--", "demo"].map(str::to_owned)
        );
    }

    #[test]
    fn a_prompt_and_a_blank_line_before_the_block_are_ignored() {
        let words = command(README, "test-command").unwrap();
        assert_eq!(words.join(" "), "cargo test --workspace");
    }

    #[test]
    fn anything_but_one_plain_command_is_refused() {
        for (marker, complaint) in [
            ("absent", "has no block"),
            ("two", "must be one command"),
            ("shell", "needs a shell"),
            ("prose", "a fenced block must follow"),
            ("empty", "is empty"),
            ("twice", "marks two blocks"),
        ] {
            let error = command(README, marker).unwrap_err().to_string();
            assert!(error.contains(complaint), "{marker}: {error}");
        }
    }
}
