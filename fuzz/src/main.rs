//! `fuzz`: the runner.

use std::time::Instant;

use cofferdam_fuzz::case::Case;
use cofferdam_fuzz::{differ, engines};

fn main() -> anyhow::Result<()> {
    let seed: u64 = std::env::args().nth(1).map_or(Ok(1), |s| s.parse())?;
    let count: u64 = std::env::args().nth(2).map_or(Ok(100), |s| s.parse())?;
    let all: Vec<_> = engines::DEFAULT.iter().map(|n| engines::by_name(n)).collect::<Result<_, _>>()?;
    let features = engines::shared_features(&all);
    let began = Instant::now();
    let (mut ran, mut none, mut refused) = (0, 0, 0);
    let mut ends = differ::Ends::default();
    for index in 0..count {
        let Some(case) = Case::of(seed, index, features) else {
            none += 1;
            continue;
        };
        let verdict = differ::check(&all, &case);
        ran += verdict.engines.len();
        ends.add(&verdict.ends);
        if let Some(why) = &verdict.refused {
            refused += 1;
            eprintln!("{index}: refused {why}");
        }
        if let Some(finding) = verdict.finding {
            eprintln!(
                "case {index}: {} {} {} run {}\n{}",
                finding.what, finding.first, finding.second, finding.run, finding.detail
            );
            case.write(std::path::Path::new("/tmp/fuzz-out"), &format!("{seed}-{index}"), &finding.detail)?;
        }
    }
    eprintln!("{count} cases, {none} none, {refused} refused, {ran} module x engine, {ends:?}, {:?}", began.elapsed());
    Ok(())
}
