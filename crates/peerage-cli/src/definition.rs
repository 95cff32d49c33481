//! `peerage completions` and `peerage man`: made from the definition that parses the command line.

use std::path::{Path, PathBuf};

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;

use crate::output::{Exit, Failed, Out, environment};

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  peerage completions bash > ~/.local/share/bash-completion/completions/peerage")]
pub(crate) struct CompletionsArgs {
    /// The shell.
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  peerage man | man -l -
  peerage man --out ~/.local/share/man/man1")]
pub(crate) struct ManArgs {
    /// Write peerage.1 and a page for each command into this folder.
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

pub(crate) fn completions(
    args: &CompletionsArgs,
    mut definition: Command,
    out: &mut Out,
) -> Result<Exit, Failed> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut definition, "peerage", &mut script);
    out.raw(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Yes)
}

pub(crate) fn man(args: &ManArgs, definition: Command, out: &mut Out) -> Result<Exit, Failed> {
    let Some(folder) = &args.out else {
        out.raw(&String::from_utf8_lossy(&page(definition)?))?;
        return Ok(Exit::Yes);
    };
    // Fills in the full names, `peerage probe`, that the pages are called by.
    let mut definition = definition;
    definition.build();
    write_pages(folder, &definition, "peerage")?;
    Ok(Exit::Yes)
}

fn page(definition: Command) -> Result<Vec<u8>, Failed> {
    let mut page = Vec::new();
    Man::new(definition).render(&mut page)?;
    Ok(page)
}

fn write_pages(folder: &Path, definition: &Command, name: &str) -> Result<(), Failed> {
    let path = folder.join(format!("{name}.1"));
    // clap wants names that live as long as the program; there is one for each command.
    let titled = definition
        .clone()
        .name(String::leak(name.to_owned()) as &'static str);
    std::fs::write(&path, page(titled)?)
        .map_err(|error| environment(error, format!("cannot write {}", path.display())))?;
    for command in definition
        .get_subcommands()
        .filter(|command| command.get_name() != "help")
    {
        write_pages(folder, command, &format!("{name}-{}", command.get_name()))?;
    }
    Ok(())
}
