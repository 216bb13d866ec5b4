//! `overhead`: measures the matrix, prints it, and writes the page.

use std::io::Write as _;

use anyhow::{Result, ensure};
use clap::Parser;
use cofferdam_overhead::machine::Watch;
use cofferdam_overhead::measure::{self, Settings};
use cofferdam_overhead::report::Report;
use cofferdam_overhead::subject::ENGINES;
use cofferdam_overhead::task::{Guests, Task};
use cofferdam_overhead::{page, table};

/// Measures what each limit costs on each engine, as ratios to the raw engine in the same run.
///
/// Every round does a task once in every column, in turning order; a figure is the least of all rounds. The first
/// column behind `raw` is the raw engine once more: how far it is from 1.00 is how far the others can be trusted.
#[derive(Parser)]
#[command(name = "overhead", version)]
struct Options {
    /// Only this engine; may be given again.
    #[arg(long, value_name = "NAME", value_parser = ENGINES)]
    engine: Vec<String>,
    /// Only this task, by its name in the tables; may be given again.
    #[arg(long, value_name = "NAME", value_parser = |name: &str| Task::by_name(name).ok_or("there is no such task"))]
    task: Vec<Task>,
    /// Rounds of every task.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rounds: Option<u32>,
    /// Five short rounds: shows that everything runs, and little else.
    #[arg(long)]
    quick: bool,
    /// Prints the figures as JSON and no tables.
    #[arg(long)]
    json: bool,
    /// Writes docs/performance.md, its plots, and the figures that they are made of. Needs every engine.
    #[arg(long, conflicts_with_all = ["engine", "task", "quick"])]
    write: bool,
    /// Measures nothing: writes the page and its plots anew from the figures that are kept.
    #[arg(long, conflicts_with_all = ["engine", "task", "quick", "rounds", "write"])]
    rewrite: bool,
}

fn run(options: &Options) -> Result<Report> {
    if options.rewrite {
        return page::measured(&page::root());
    }
    let mut settings = if options.quick { Settings::QUICK } else { Settings::FULL };
    settings.rounds = options.rounds.unwrap_or(settings.rounds);
    let guests = Guests::new()?;
    let watch = Watch::begin();
    let mut engines = Vec::new();
    for name in ENGINES {
        if !options.engine.is_empty() && !options.engine.iter().any(|wanted| wanted == name) {
            continue;
        }
        let wanted = |task: Task| options.task.is_empty() || options.task.contains(&task);
        let each = |setup: u32, task: Task| eprintln!("{name}, setup {}: {}", setup + 1, task.name());
        engines.push(measure::engine(name, &guests, &settings, wanted, each)?);
    }
    ensure!(!engines.is_empty(), "there is nothing to measure");
    Ok(Report { machine: watch.end(), rounds: settings.rounds, engines })
}

fn main() -> Result<()> {
    let options = Options::parse();
    let report = run(&options)?;
    let text = if options.json { serde_json::to_string_pretty(&report)? } else { table::all(&report) };
    writeln!(std::io::stdout(), "{}", text.trim_end())?;
    if options.write || options.rewrite {
        page::write(&page::root(), &report)?;
        eprintln!("{} is written", page::PAGE);
    }
    Ok(())
}
