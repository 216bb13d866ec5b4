//! `fuzz`: runs campaigns, replays and reduces what they find.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use cofferdam_fuzz::campaign::{self, Plan, Summary};
use cofferdam_fuzz::case::Case;
use cofferdam_fuzz::differ::Finding;
use cofferdam_fuzz::reduce::Reducer;
use cofferdam_fuzz::{differ, engines, targets};

/// Runs random modules under random policies on every engine and writes down what differs.
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Todo>,
    #[command(flatten)]
    campaign: Campaign,
}

#[derive(Subcommand)]
enum Todo {
    /// Runs kept cases again; fails if one differs
    Replay(Files),
    /// Makes a kept case smaller, in place
    Reduce {
        #[command(flatten)]
        files: Files,
        /// The process dies of it: runs each try in a process of its own
        #[arg(long)]
        crash: bool,
    },
    /// Shows the module of a kept case as text
    Print(Files),
    /// Writes one case of a campaign
    Case {
        /// Seed of the campaign
        #[arg(long)]
        seed: u64,
        /// Its number
        index: u64,
        #[command(flatten)]
        which: Which,
        /// Where it goes
        #[arg(long, default_value = "fuzz-out")]
        out: PathBuf,
    },
    /// Runs a fuzz target on inputs made from a seed, or on files
    Target {
        /// Its name; without one, all are listed
        name: Option<String>,
        /// Inputs to run, instead of making some
        files: Vec<PathBuf>,
        /// Ends after this long
        #[arg(long, default_value_t = 1.0)]
        minutes: f64,
        /// Names every input
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Where a failing input is written
        #[arg(long, default_value = "fuzz-out")]
        out: PathBuf,
    },
    #[command(hide = true)]
    Worker(Worker),
}

#[derive(Args)]
struct Which {
    /// Engines to compare
    #[arg(long, value_delimiter = ',', default_values_t = engines::DEFAULT.map(str::to_owned))]
    engines: Vec<String>,
}

#[derive(Args)]
struct Campaign {
    /// Ends after this long
    #[arg(long, default_value_t = 1.0)]
    minutes: f64,
    /// Names every case of the campaign
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Ends after this many modules
    #[arg(long, default_value_t = u64::MAX, hide_default_value = true)]
    modules: u64,
    /// The first case
    #[arg(long, default_value_t = 0)]
    first: u64,
    #[command(flatten)]
    which: Which,
    /// Where findings are written
    #[arg(long, default_value = "fuzz-out")]
    out: PathBuf,
    /// Processes
    #[arg(long, default_value_t = 1)]
    jobs: u64,
    /// Keeps findings as they came
    #[arg(long)]
    as_found: bool,
    /// Writes a summary as JSON to standard output
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct Files {
    /// Cases: their `.json` or `.wasm`
    files: Vec<PathBuf>,
    #[command(flatten)]
    which: Which,
    /// Seconds to spend on each
    #[arg(long, default_value_t = 60)]
    seconds: u64,
}

#[derive(Args)]
struct Worker {
    #[arg(long)]
    seed: u64,
    #[arg(long)]
    first: u64,
    #[arg(long)]
    begin: u64,
    #[arg(long)]
    step: u64,
    #[arg(long)]
    cases: u64,
    #[arg(long)]
    seconds: u64,
    #[command(flatten)]
    which: Which,
    #[arg(long)]
    out: PathBuf,
    #[arg(long)]
    mark: PathBuf,
    #[arg(long)]
    as_found: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let cli = Cli::parse();
    match cli.command {
        None => run(cli.campaign),
        Some(Todo::Replay(files)) => replay(&files),
        Some(Todo::Reduce { files, crash }) => reduce(&files, crash),
        Some(Todo::Print(files)) => print(&files),
        Some(Todo::Case { seed, index, which, out }) => {
            let all = which.engines.iter().map(|name| engines::by_name(name)).collect::<anyhow::Result<Vec<_>>>()?;
            let case = Case::of(seed, index, engines::shared_features(&all)).context("this number gives no module")?;
            case.write(&out, &format!("{seed}-{index}.full"), "")?;
            Ok(ExitCode::SUCCESS)
        }
        Some(Todo::Target { name, files, minutes, seed, out }) => target(name, &files, minutes, seed, &out),
        Some(Todo::Worker(worker)) => {
            let plan = Plan {
                seed: worker.seed,
                first: worker.begin,
                cases: worker.cases,
                time: Duration::from_secs(worker.seconds),
                engines: worker.which.engines,
                out: worker.out,
                jobs: worker.step,
                reduce: !worker.as_found,
            };
            campaign::work(&plan, worker.first, worker.step, &worker.mark)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn run(args: Campaign) -> anyhow::Result<ExitCode> {
    let plan = Plan {
        seed: args.seed,
        first: args.first,
        cases: args.modules,
        time: Duration::from_secs_f64(args.minutes.max(0.0) * 60.0),
        engines: args.which.engines,
        out: args.out,
        jobs: args.jobs.max(1),
        reduce: !args.as_found,
    };
    let mut shown = Instant::now();
    let summary = campaign::run(&plan, |summary| {
        if shown.elapsed() > Duration::from_secs(10) {
            shown = Instant::now();
            progress(summary);
        }
    })?;
    progress(&summary);
    if args.json {
        println!("{}", serde_json::to_string_pretty(&summary)?);
    }
    Ok(if summary.tally.differences() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn progress(summary: &Summary) {
    let tally = &summary.tally;
    eprintln!(
        "{} s: {} modules, {} modules x engines, {} runs, {} native; {} refused, {} cut; {} differences",
        summary.seconds,
        tally.modules,
        tally.modules_by_engines,
        tally.runs,
        tally.native,
        tally.refused,
        tally.cut,
        tally.differences()
    );
}

fn replay(files: &Files) -> anyhow::Result<ExitCode> {
    let all = files.which.engines.iter().map(|name| engines::by_name(name)).collect::<anyhow::Result<Vec<_>>>()?;
    let mut differ = false;
    for file in &files.files {
        let verdict = differ::check(&all, &Case::read(file)?);
        match (&verdict.finding, &verdict.refused) {
            (Some(found), _) => {
                differ = true;
                println!("{}: {} {} {}, run {}", file.display(), found.what, found.first, found.second, found.run);
                println!("{}", found.detail);
            }
            (None, Some(why)) => println!("{}: refused: {why}", file.display()),
            (None, None) => println!("{}: {:?}, {:?}", file.display(), verdict.engines, verdict.ends),
        }
        verdict.cannot.iter().for_each(|(engine, why)| println!("  {engine} cannot: {why}"));
    }
    Ok(if differ { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn reduce(files: &Files, crash: bool) -> anyhow::Result<ExitCode> {
    let all = files.which.engines.iter().map(|name| engines::by_name(name)).collect::<anyhow::Result<Vec<_>>>()?;
    for file in &files.files {
        let case = Case::read(file)?;
        let name = file.file_stem().context("it has no name")?.to_string_lossy().into_owned();
        let folder = file.parent().unwrap_or(Path::new("."));
        let time = Duration::from_secs(files.seconds);
        let finding = match crash {
            true => Finding::crash(),
            false => differ::check(&all, &case).finding.context("no engines differ in it")?,
        };
        let reducer = Reducer::new(&all, &case, &finding, time);
        let small = if crash { reducer.in_children(folder).run() } else { reducer.run() };
        let found = if crash { None } else { differ::check(&all, &small).finding };
        let detail = found.map(|found| found.detail).unwrap_or_default();
        small.write(folder, &name, &format!("{}: {detail}", finding.what))?;
        println!("{}: {} bytes, were {}", file.display(), small.module.len(), case.module.len());
    }
    Ok(ExitCode::SUCCESS)
}

fn print(files: &Files) -> anyhow::Result<ExitCode> {
    for file in &files.files {
        let case = Case::read(file)?;
        println!("{}", wasmprinter::print_bytes(&case.module)?);
        println!("{}", serde_json::to_string_pretty(&case.policy)?);
    }
    Ok(ExitCode::SUCCESS)
}

fn target(name: Option<String>, files: &[PathBuf], minutes: f64, seed: u64, out: &Path) -> anyhow::Result<ExitCode> {
    let Some(name) = name else {
        targets::ALL.iter().for_each(|target| println!("{:<12} {}", target.name, target.about));
        return Ok(ExitCode::SUCCESS);
    };
    let target = targets::by_name(&name).with_context(|| format!("no target is called `{name}`"))?;
    for file in files {
        let input = std::fs::read(file).with_context(|| file.display().to_string())?;
        if let Some(said) = targets::fails(target, &input) {
            println!("{}: {said}", file.display());
            return Ok(ExitCode::FAILURE);
        }
    }
    if !files.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    let time = Duration::from_secs_f64(minutes.max(0.0) * 60.0);
    let (inputs, failure) = targets::run(target, seed, time);
    println!("{name}: {inputs} inputs, seed {seed}");
    let Some(failure) = failure else { return Ok(ExitCode::SUCCESS) };
    std::fs::create_dir_all(out)?;
    let file = out.join(format!("{name}-{seed}-{}", failure.index));
    std::fs::write(&file, &failure.input)?;
    println!("input {}: {}\n{}", failure.index, failure.said, file.display());
    Ok(ExitCode::FAILURE)
}
