//! The `cofferdam` command. All of it is in `cli`.
#![forbid(unsafe_code)]

mod cli;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let filter = EnvFilter::try_from_env("COFFERDAM_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()))
        .without_time()
        .init();
    outlive_file_limits();
    let ended = match cli::Cli::try_parse() {
        Ok(cli) => cli.execute().unwrap_or_else(|error| cli::unusable(&error)),
        Err(error) => cli::not_understood(&error),
    };
    ExitCode::from(ended)
}

/// A file that reaches the user's limit of size (`ulimit -f`) is an error of that write. Unheard, SIGXFSZ would end
/// the process, and with it every guest, because one of them wrote too much.
fn outlive_file_limits() {
    #[cfg(unix)]
    {
        /// The same number on Linux (but for MIPS), macOS and the BSDs.
        const SIGXFSZ: i32 = 25;
        let heard = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        if let Err(error) = signal_hook::flag::register(SIGXFSZ, heard) {
            tracing::warn!(%error, "a file that becomes too large will end the process");
        }
    }
}
