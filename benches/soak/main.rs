//! Hours' worth of load in as many minutes as there are, and whether anything grows or is left: the long form of
//! `tests/soak`. `cargo bench --bench soak --features all-free -- --minutes 10`

#[cfg(all(feature = "any-engine", target_os = "linux"))]
mod body;
#[cfg(all(feature = "any-engine", target_os = "linux"))]
mod command;

#[cfg(all(feature = "any-engine", target_os = "linux"))]
fn main() -> anyhow::Result<std::process::ExitCode> {
    command::main()
}

#[cfg(not(all(feature = "any-engine", target_os = "linux")))]
fn main() {
    eprintln!("skipped: this needs an engine, and Linux, whose figures it reads");
}
