//! Makes a case smaller while it still shows the same difference.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cofferdam_engine::Engine;
use wasm_encoder::Instruction;

use crate::case::Case;
use crate::differ::{Finding, check};
use crate::edit::{Parts, is_valid};

use Instruction as I;

/// What an operator is tried to be replaced by.
fn replacements() -> Vec<Vec<Instruction<'static>>> {
    let zeros = [I::I32Const(0), I::I64Const(0), I::F32Const(0f32.into()), I::F64Const(0f64.into()), I::V128Const(0)];
    let mut all = vec![vec![I::Drop], vec![I::Drop, I::Drop], vec![I::Drop, I::Drop, I::Drop]];
    for zero in &zeros {
        all.extend((0..3).map(|drops| std::iter::repeat_n(I::Drop, drops).chain([zero.clone()]).collect::<Vec<_>>()));
    }
    all.push(vec![I::Unreachable]);
    all
}

/// Makes cases smaller.
pub struct Reducer<'a> {
    engines: Vec<Arc<dyn Engine>>,
    finding: &'a Finding,
    until: Instant,
    case: Case,
    /// Where cases are put that a child process runs, if the process dies of this one.
    child: Option<PathBuf>,
}

impl<'a> Reducer<'a> {
    /// For `case`, in which `engines` show `finding`; it ends within about `time`.
    #[must_use]
    pub fn new(all: &[Arc<dyn Engine>], case: &Case, finding: &'a Finding, time: Duration) -> Self {
        // Only those that differ.
        let named = |engine: &&Arc<dyn Engine>| {
            let id = engine.descriptor().id;
            [&finding.first, &finding.second].iter().any(|side| side.split(' ').next() == Some(id))
        };
        let engines: Vec<_> = all.iter().filter(named).cloned().collect();
        let engines = if engines.is_empty() { all.to_vec() } else { engines };
        Self { engines, finding, until: Instant::now() + time, case: case.clone(), child: None }
    }

    /// Runs each try in a process of its own, `fuzz replay`, with files in `folder`: for what ends the process.
    #[must_use]
    pub fn in_children(mut self, folder: &Path) -> Self {
        self.child = Some(folder.join("reducing"));
        self
    }

    /// The smallest case found.
    #[must_use]
    pub fn run(mut self) -> Case {
        if !self.shows(&self.case.clone()) {
            return self.case;
        }
        self.policy();
        loop {
            let before = self.case.module.len();
            self.sections();
            self.exports();
            self.bodies();
            self.code();
            self.locals();
            if self.case.module.len() >= before || Instant::now() > self.until {
                break;
            }
        }
        self.policy();
        self.case
    }

    fn shows(&mut self, case: &Case) -> bool {
        if let Some(file) = &self.child {
            return self.kills(case, file).unwrap_or(false);
        }
        let found = check(&self.engines, case).finding;
        found.is_some_and(|found| found.is_like(self.finding))
    }

    /// Whether a process that runs `case` is ended by a signal.
    fn kills(&self, case: &Case, file: &Path) -> anyhow::Result<bool> {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        case.write(file.parent().unwrap_or(Path::new(".")), &name, "")?;
        let ids: Vec<_> = self.engines.iter().map(|engine| engine.descriptor().id).collect();
        let mut replay = Command::new(std::env::current_exe()?);
        replay.arg("replay").arg(file.with_extension("json")).args(["--engines", &ids.join(",")]);
        let status = replay.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
        Ok(status.signal().is_some())
    }

    fn try_case(&mut self, case: Case) -> bool {
        let better = Instant::now() < self.until && self.shows(&case);
        if better {
            self.case = case;
        }
        better
    }

    /// Tries the module that `change` makes; `false` if it is not valid or does not show the difference.
    fn try_module(&mut self, change: impl FnOnce(&mut Parts<'_>) -> bool) -> bool {
        let module = self.case.module.clone();
        let Ok(mut parts) = Parts::read(&module) else { return false };
        if !change(&mut parts) {
            return false;
        }
        let module = parts.write();
        if module == self.case.module || !is_valid(&module, self.case.policy.features()) {
            return false;
        }
        self.try_case(Case { module, ..self.case.clone() })
    }

    fn policy(&mut self) {
        let mut simple = |change: &dyn Fn(&mut crate::policy::Policy)| {
            let mut case = self.case.clone();
            change(&mut case.policy);
            if case != self.case {
                self.try_case(case);
            }
        };
        simple(&|p| p.native = false);
        simple(&|p| p.rounds = 0);
        simple(&|p| p.deadline = false);
        simple(&|p| p.scheduler = false);
        simple(&|p| p.host_calls = u64::MAX);
        simple(&|p| p.memory_bytes = 10 << 20);
        simple(&|p| p.table_elements = 100_000);
        simple(&|p| p.stack_units = 512 << 10);
        for fuel in [10, 100, 1_000, 10_000] {
            simple(&|p| p.fuel = p.fuel.min(fuel));
        }
    }

    fn sections(&mut self) {
        let Ok(ids) = Parts::read(&self.case.module).map(|parts| parts.raw_sections()) else { return };
        for id in ids {
            // Types, imports, functions and code are needed by what stands behind.
            if ![1, 2, 3].contains(&id) {
                self.try_module(|parts| {
                    parts.drop_section(id);
                    true
                });
            }
        }
        // Data and their count go together.
        self.try_module(|parts| {
            parts.drop_section(11);
            parts.drop_section(12);
            true
        });
    }

    fn exports(&mut self) {
        self.pieces(
            |parts| parts.exports.len(),
            |parts, range| {
                parts.exports.drain(range);
                true
            },
        );
    }

    /// Takes away pieces of a list: halves first, then less.
    fn pieces(
        &mut self,
        len: impl Fn(&Parts<'_>) -> usize,
        remove: impl Fn(&mut Parts<'_>, std::ops::Range<usize>) -> bool,
    ) {
        let count = |case: &Case| Parts::read(&case.module).map_or(0, |parts| len(&parts));
        let mut size = count(&self.case).div_ceil(2);
        while size > 0 {
            let mut at = 0;
            while at < count(&self.case) && Instant::now() < self.until {
                let end = (at + size).min(count(&self.case));
                if !self.try_module(|parts| remove(parts, at..end)) {
                    at += size;
                }
            }
            size /= 2;
        }
    }

    fn bodies(&mut self) {
        let Ok(count) = Parts::read(&self.case.module).map(|parts| parts.bodies.len()) else { return };
        for at in 0..count {
            for code in [vec![], vec![I::Unreachable]] {
                let shorter = self.try_module(|parts| {
                    let body = &mut parts.bodies[at];
                    let change = body.code.len() > code.len();
                    body.code.clone_from(&code);
                    body.locals.clear();
                    change
                });
                if shorter {
                    break;
                }
            }
        }
    }

    fn code(&mut self) {
        let Ok(count) = Parts::read(&self.case.module).map(|parts| parts.bodies.len()) else { return };
        let replacements = replacements();
        for body in 0..count {
            let len = |parts: &Parts<'_>| parts.bodies.get(body).map_or(0, |body| body.code.len());
            self.pieces(len, |parts, range| {
                parts.bodies[body].code.drain(range);
                true
            });
            let mut at = 0;
            while Parts::read(&self.case.module).is_ok_and(|parts| at < len(&parts)) && Instant::now() < self.until {
                self.unwrap_block(body, at);
                for with in &replacements {
                    // Ranges that leave what the replacement leaves: an operator with what computed its operands.
                    let replaced = [1, 2, 3, 5, 8].into_iter().any(|width| {
                        self.try_module(|parts| {
                            let code = &mut parts.bodies[body].code;
                            let end = (at + width).min(code.len());
                            let same = format!("{:?}", &code[at..end]) == format!("{with:?}");
                            if same || end - at < with.len() {
                                return false;
                            }
                            code.splice(at..end, with.iter().cloned());
                            true
                        })
                    });
                    if replaced {
                        break;
                    }
                }
                at += 1;
            }
        }
    }

    /// Removes a block's begin and end and keeps what is in it.
    fn unwrap_block(&mut self, body: usize, at: usize) {
        self.try_module(|parts| {
            let code = &mut parts.bodies[body].code;
            if !matches!(code.get(at), Some(I::Block(_) | I::Loop(_))) {
                return false;
            }
            let mut depth = 0;
            for end in at..code.len() {
                match code[end] {
                    I::Block(_) | I::Loop(_) | I::If(_) => depth += 1,
                    I::End => depth -= 1,
                    _ => {}
                }
                if depth == 0 {
                    code.remove(end);
                    code.remove(at);
                    return true;
                }
            }
            false
        });
    }

    fn locals(&mut self) {
        let Ok(count) = Parts::read(&self.case.module).map(|parts| parts.bodies.len()) else { return };
        for body in 0..count {
            for keep in 0..4 {
                let fewer = self.try_module(|parts| {
                    let locals = &mut parts.bodies[body].locals;
                    let change = locals.len() > keep;
                    locals.truncate(keep);
                    change
                });
                if fewer {
                    break;
                }
            }
            self.try_module(|parts| {
                let locals = &mut parts.bodies[body].locals;
                let change = locals.iter().any(|(count, _)| *count > 1);
                locals.iter_mut().for_each(|(count, _)| *count = (*count).min(1));
                change
            });
        }
    }
}
