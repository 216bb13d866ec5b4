//! The command: which engines, how long, and the table at the end.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use cofferdam::engines;
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use crate::body::{self, Figures, KINDS, Length, Report};

/// Runs load of every kind on each engine alone and on all together, and fails if anything grows or is left
#[derive(Parser)]
struct Arguments {
    /// How long all of it may take; each phase has at least its rounds of the short form
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// Only this engine, or `all` of them at the same time; without it, each one alone and then all
    #[arg(long)]
    engine: Option<String>,
    /// The report as JSON, on standard output
    #[arg(long)]
    json: bool,
    /// The process that works: its engine, or `all`
    #[arg(long, hide = true)]
    work: Option<String>,
    /// Cargo says so to every bench
    #[arg(long, hide = true)]
    bench: bool,
}

/// What each process has said.
#[derive(Serialize)]
struct Part {
    engines: String,
    phases: Vec<Report>,
}

/// Every engine at once.
const ALL: &str = "all";

pub fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    if let Some(engine) = &arguments.work {
        return work(engine, arguments.minutes);
    }
    let parts: Vec<String> = match arguments.engine {
        Some(engine) => vec![engine],
        None => engines::names().into_iter().chain([ALL]).map(str::to_owned).collect(),
    };
    let each = arguments.minutes / parts.len() as f64;
    let (mut done, mut died) = (Vec::new(), false);
    for engines in parts {
        match part(&engines, each) {
            Ok(phases) => done.push(Part { engines, phases }),
            // The others are worth looking at all the same.
            Err(error) => {
                eprintln!("{engines}: {error:#}");
                died = true;
            }
        }
    }
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&done)?);
    } else {
        show(&done);
    }
    let wrong = done.iter().flat_map(|part| &part.phases).any(|report| !report.wrong.is_empty());
    Ok(if wrong || died { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Does the work, and says each report in a line.
fn work(engine: &str, minutes: f64) -> anyhow::Result<ExitCode> {
    let engines = if engine == ALL { engines::all() } else { vec![engines::by_name(engine)?] };
    let each = Duration::try_from_secs_f64(minutes * 60.0 / KINDS.len() as f64).context("--minutes")?;
    body::soak(&engines, Length { divided_by: 1, time: each }, |report| {
        println!("{}", serde_json::to_string(report).unwrap_or_default());
    });
    Ok(ExitCode::SUCCESS)
}

/// One process, which does nothing else, with as few arenas of the allocator as the short form has.
fn part(engines: &str, minutes: f64) -> anyhow::Result<Vec<Report>> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(["--work", engines, "--minutes", &minutes.to_string()])
        .env("MALLOC_ARENA_MAX", "2")
        .stdout(Stdio::piped())
        .spawn()?;
    let mut reports = Vec::new();
    for line in BufReader::new(child.stdout.take().context("it is piped")?).lines() {
        let report: Report = serde_json::from_str(&line?)?;
        let verdict = if report.wrong.is_empty() { "holds" } else { "DOES NOT HOLD" };
        eprintln!("{engines} {}: {} rounds, {verdict}", report.phase, report.rounds);
        report.wrong.iter().for_each(|wrong| eprintln!("  {wrong}"));
        reports.push(report);
    }
    let status = child.wait()?;
    anyhow::ensure!(status.success() && reports.len() == KINDS.len(), "it ended with {status} after {reports:?}");
    Ok(reports)
}

fn show(parts: &[Part]) {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(["engine", "phase", "rounds", "resident MiB", "mappings", "descriptors", "threads", "holds"]);
    for part in parts {
        for report in &part.phases {
            let figures = [&report.before, &report.first, &report.last, &report.after];
            let each = |of: fn(&Figures) -> u64| figures.map(|figures| of(figures).to_string()).join(" · ");
            table.add_row([
                part.engines.clone(),
                report.phase.clone(),
                report.rounds.to_string(),
                each(|figures| figures.resident >> 10),
                each(|figures| figures.maps),
                each(|figures| figures.descriptors),
                each(|figures| figures.threads),
                if report.wrong.is_empty() { "yes" } else { "NO" }.to_owned(),
            ]);
        }
    }
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    println!(
        "{table}\n\nFigures: before, highest of the first quarter after warming up, highest of the last, when all is dropped.\n"
    );
    let mut did = body::Tally::new();
    let all = parts.iter().flat_map(|part| &part.phases).flat_map(|report| &report.did);
    all.for_each(|(what, times)| body::did(&mut did, what, *times));
    did.iter().for_each(|(what, times)| println!("{times:>12}  {what}"));
}
