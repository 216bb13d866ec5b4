//! What a shell and a manual want to know of the command: completions and man pages, made from the options
//! themselves.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Context as _;
use clap::CommandFactory;
use clap_complete::Shell;

use super::Cli;
use super::say::{print, say};

/// Print completions for a shell.
#[derive(Debug, clap::Args)]
#[command(after_help = COMPLETIONS_HELP)]
pub struct Completions {
    /// The shell.
    shell: Shell,
}

const COMPLETIONS_HELP: &str = "\
Examples:
  cofferdam completions bash > ~/.local/share/bash-completion/completions/cofferdam
  cofferdam completions zsh > ~/.zfunc/_cofferdam
  cofferdam completions fish > ~/.config/fish/completions/cofferdam.fish";

impl Completions {
    /// Prints them.
    pub fn execute(&self) -> anyhow::Result<u8> {
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "cofferdam", &mut text);
        print(&String::from_utf8_lossy(&text))?;
        Ok(0)
    }
}

/// Write the manual: one page for each command, into DIR, or the first page to standard output.
#[derive(Debug, clap::Args)]
#[command(after_help = MAN_HELP)]
pub struct Man {
    /// A directory for the pages, such as ~/.local/share/man/man1.
    dir: Option<PathBuf>,
}

const MAN_HELP: &str = "\
Examples:
  cofferdam man | man -l -
  cofferdam man ~/.local/share/man/man1";

impl Man {
    /// Writes them.
    pub fn execute(&self) -> anyhow::Result<u8> {
        let Some(dir) = &self.dir else {
            let mut page = Vec::new();
            clap_mangen::Man::new(Cli::command()).render(&mut page)?;
            print(&String::from_utf8_lossy(&page))?;
            return Ok(0);
        };
        fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let mut command = Cli::command();
        // Gives every command below its whole name.
        command.build();
        let mut pages = 0;
        write_pages(command, dir, &mut pages).with_context(|| format!("cannot write to {}", dir.display()))?;
        say(&format!("cofferdam: {pages} pages written to {}", dir.display()));
        Ok(0)
    }
}

fn write_pages(command: clap::Command, dir: &std::path::Path, pages: &mut u32) -> io::Result<()> {
    let below: Vec<_> =
        command.get_subcommands().filter(|c| !c.is_hide_set() && c.get_name() != "help").cloned().collect();
    let man = clap_mangen::Man::new(command);
    let mut file = fs::File::create(dir.join(man.get_filename()))?;
    man.render(&mut file)?;
    file.flush()?;
    *pages += 1;
    below.into_iter().try_for_each(|command| write_pages(command, dir, pages))
}
