//! Tables in Markdown, which are read in a terminal as well.

use std::fmt::Write as _;

use crate::aims;
use crate::column::Column;
use crate::report::{EngineReport, Report};
use crate::task::KERNELS;

/// A ratio as tables show it.
#[must_use]
pub fn ratio(ratio: f64) -> String {
    if ratio >= 9.995 { format!("{ratio:.1}") } else { format!("{ratio:.2}") }
}

/// A time in the unit that leaves one to three digits before the point.
#[must_use]
pub fn time(ns: f64) -> String {
    let (value, unit) = match ns {
        ns if ns < 999.5 => (ns, "ns"),
        ns if ns < 999_500.0 => (ns / 1e3, "µs"),
        ns => (ns / 1e6, "ms"),
    };
    if value < 9.95 { format!("{value:.1} {unit}") } else { format!("{value:.0} {unit}") }
}

fn percent(part: f64) -> String {
    format!("{:.1} %", part * 100.0)
}

fn row(cells: &[String]) -> String {
    format!("| {} |\n", cells.join(" | "))
}

/// Head and rule of a table, numbers to the right.
fn head(cells: &[String]) -> String {
    let rule: Vec<String> = (0..cells.len()).map(|at| if at == 0 { "---" } else { "--:" }.to_owned()).collect();
    row(cells) + &format!("|{}|\n", rule.join("|"))
}

/// The columns behind that of the raw engine.
fn compared() -> impl Iterator<Item = Column> {
    Column::ALL.into_iter().filter(|column| *column != Column::Raw)
}

/// Every task of one engine: the raw engine's time, and what the others are of it.
#[must_use]
pub fn of_engine(engine: &EngineReport) -> String {
    let mut first = vec![format!("{} {}", engine.engine, engine.version), "raw".to_owned()];
    first.extend(compared().map(|column| column.head().to_owned()));
    first.push("spread".to_owned());
    let mut table = head(&first);
    for report in &engine.tasks {
        let least = report.cell(Column::Raw).map_or_else(String::new, |cell| time(cell.least_ns));
        let mut cells = vec![report.task.clone(), least];
        cells.extend(compared().map(|c| report.ratio(c, Column::Raw).map_or_else(String::new, ratio)));
        cells.push(ratio(report.spread()));
        table += &row(&cells);
    }
    table += &row(&mean_row(engine, "*eight kernels*", Column::Raw));
    table
}

fn mean_row(engine: &EngineReport, name: &str, base: Column) -> Vec<String> {
    let mut cells = vec![name.to_owned(), String::new()];
    cells
        .extend(compared().map(|c| engine.mean(c, base).map_or_else(String::new, |mean| format!("*{}*", ratio(mean)))));
    cells.push(String::new());
    cells
}

/// The geometric means of all engines, against the raw engine and against it with our settings.
#[must_use]
pub fn of_means(report: &Report) -> String {
    let mut first = vec!["eight kernels, geometric mean".to_owned()];
    first.extend(compared().map(|column| column.head().to_owned()));
    let mut table = head(&first);
    for engine in &report.engines {
        for base in [Column::Raw, Column::Bare] {
            let mut cells = vec![format!("{} ÷ {}", engine.engine, base.name())];
            cells.extend(compared().map(|c| engine.mean(c, base).map_or_else(String::new, ratio)));
            table += &row(&cells);
        }
    }
    table
}

/// What is aimed at, and what came out, in the columns that run with every limit.
#[must_use]
pub fn of_aims(report: &Report) -> String {
    let columns = [Column::Portable, Column::PortableDeadline, Column::NativeDeadline];
    let mut first: Vec<String> = ["what", "engine", "aim"].map(str::to_owned).to_vec();
    first.extend(columns.map(|column| column.name().to_owned()));
    first.push("portable ÷ bare".to_owned());
    let mut table = head(&first);
    for (aim, engine) in aims::of(report) {
        let mut cells = vec![aim.name().to_owned(), engine.engine.clone(), format!("≤ {}", ratio(aim.most))];
        let pairs = columns.map(|column| (column, Column::Raw)).into_iter().chain([(Column::Portable, Column::Bare)]);
        cells.extend(pairs.map(|(column, base)| match aim.got(engine, column, base) {
            Some(got) if got > aim.most => format!("**{}**", ratio(got)),
            Some(got) => ratio(got),
            None => String::new(),
        }));
        table += &row(&cells);
    }
    table
}

/// What it ran on, and how noisy that was.
#[must_use]
pub fn of_machine(report: &Report) -> String {
    let machine = &report.machine;
    let mut table = String::from("| | |\n|---|---|\n");
    let mut line = |what: &str, value: String| {
        table += &row(&[what.to_owned(), value]);
    };
    line("begun", machine.date.clone());
    line("processor", format!("{}, {} of them, {}", machine.processor, machine.processors, machine.system));
    line("rounds of every cell", format!("{}, all within {}", report.rounds, took(machine.seconds)));
    if let Some((before, after)) = machine.load {
        line("load average before, after", format!("{before:.2}, {after:.2}"));
    }
    if let (Some(busy), Some(stolen)) = (machine.busy, machine.stolen) {
        let used = format!(
            "{} busy, this program included; {} taken by the machine's own host",
            percent(busy),
            percent(stolen)
        );
        line("processors' time", used);
    }
    let noise = report.noise();
    if let (Some(worst), Some(middle)) = (noise.last(), noise.get(noise.len() / 2)) {
        let nine = noise[(noise.len() * 9 / 10).min(noise.len() - 1)];
        let all = format!(
            "half of {} within {}, nine of ten within {}, the worst {}",
            noise.len(),
            percent(*middle),
            percent(nine),
            percent(*worst)
        );
        line("raw engine against itself", all);
    }
    table
}

fn took(seconds: u64) -> String {
    humantime::format_duration(std::time::Duration::from_secs(seconds)).to_string()
}

/// What the kernels are.
#[must_use]
pub fn of_kernels() -> String {
    let mut table = String::from("| kernel | what it does in a round |\n|---|---|\n");
    for kernel in KERNELS {
        let _ = writeln!(table, "| {} | {} |", kernel.name, kernel.what);
    }
    table
}

/// Everything, for a terminal.
#[must_use]
pub fn all(report: &Report) -> String {
    let mut text = of_machine(report);
    for engine in &report.engines {
        text += "\n";
        text += &of_engine(engine);
    }
    format!("{text}\n{}\n{}", of_means(report), of_aims(report))
}
