//! The rule by which `auto` picks an engine: the first of the build's order that can enforce the policy and runs
//! every proposal that the module uses. Nothing else counts: not load, not timing, not what is in a cache. The same
//! build, policy and module give the same engine on every machine.

use std::fmt;
use std::sync::Arc;

use cofferdam_engine::{Engine, FeatureSet, Proposal};
use cofferdam_prepare::{recognise, survey, validate};

use super::{Elsewhere, KNOWN, that_run};
use crate::policy::SecurityPolicy;

/// What `auto` picked.
#[derive(Clone)]
#[non_exhaustive]
pub struct Choice {
    /// The engine.
    pub engine: Arc<dyn Engine>,
    /// The engines that come before it and would not do, in order.
    pub passed_over: Vec<PassedOver>,
}

impl fmt::Debug for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let engine = self.engine.descriptor().id;
        f.debug_struct("Choice").field("engine", &engine).field("passed_over", &self.passed_over).finish()
    }
}

/// Why it was picked, such as ``wasmer-cranelift lacks proposal `memory64` ``.
impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.passed_over.is_empty() {
            return f.write_str("the first of this build");
        }
        join(f, &self.passed_over)
    }
}

/// An engine that would not do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PassedOver {
    /// Its id.
    pub engine: &'static str,
    /// Why not.
    pub because: WhyNot,
}

/// Why an engine would not do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhyNot {
    /// The policy requires this, and the engine cannot enforce it.
    CannotEnforce(&'static str),
    /// The module uses these proposals, and the engine does not run them.
    Lacks(Vec<Proposal>),
}

impl fmt::Display for PassedOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.because {
            WhyNot::CannotEnforce(requirement) => write!(f, "{} cannot enforce {requirement}", self.engine),
            WhyNot::Lacks(lacks) => write!(f, "{} lacks {}", self.engine, proposals(lacks)),
        }
    }
}

/// ``proposal `a` `` or ``proposals `a`, `b` ``.
pub(crate) fn proposals(list: &[Proposal]) -> String {
    let names: Vec<_> = list.iter().map(|p| format!("`{p}`")).collect();
    format!("proposal{} {}", if list.len() == 1 { "" } else { "s" }, names.join(", "))
}

fn join(f: &mut fmt::Formatter<'_>, passed_over: &[PassedOver]) -> fmt::Result {
    for (i, passed_over) in passed_over.iter().enumerate() {
        write!(f, "{}{passed_over}", if i == 0 { "" } else { "; " })?;
    }
    Ok(())
}

/// No engine that was asked can run the module under the policy.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NoEngine {
    /// Every engine that was asked, with the reason, in order.
    pub passed_over: Vec<PassedOver>,
    /// Who could.
    pub elsewhere: Elsewhere,
}

impl NoEngine {
    /// Whether some engine could enforce the policy, so that it is the module that uses too much.
    #[must_use]
    pub fn is_about_the_module(&self) -> bool {
        self.passed_over.iter().any(|p| matches!(p.because, WhyNot::Lacks(_)))
    }
}

impl fmt::Display for NoEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.passed_over.is_empty() {
            let features: Vec<_> = KNOWN.iter().filter(|known| known.free).map(|known| known.feature).collect();
            return write!(f, "this build has no engine; build with one of --features {}", features.join(", "));
        }
        // The same reason from each is the build's, not an engine's.
        if let [PassedOver { because: WhyNot::CannotEnforce(requirement), .. }, rest @ ..] = &*self.passed_over
            && rest.iter().all(|other| other.because == WhyNot::CannotEnforce(requirement))
            && self.elsewhere == Elsewhere::default()
        {
            return write!(f, "no engine of this build can enforce {requirement}");
        }
        let what = if self.is_about_the_module() { "run the module" } else { "enforce the policy" };
        write!(f, "no engine of this build can {what}: ")?;
        join(f, &self.passed_over)?;
        write!(f, "; {}", self.elsewhere)
    }
}

impl std::error::Error for NoEngine {}

/// The first engine of this build that can enforce `policy` and runs every proposal of `module` that the policy
/// allows; an engine whose licence restricts its use only if this build has no other. What the policy does not allow
/// is for the gate to refuse, whichever engine is picked; so is a module that is no module.
///
/// ```
/// use cofferdam::{engines, Proposal, SecurityPolicy};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # if engines::names().is_empty() { return Ok(()); }
/// let module = br#"(module (func $f (export "spin") (return_call $f)))"#;
/// let policy = SecurityPolicy::standard().allow(Proposal::TailCalls);
/// match engines::auto_for(&policy, Some(module)) {
///     Ok(choice) => println!("{}: {choice}", choice.engine.descriptor().id),
///     Err(none) => println!("{none}"), // says for each engine why not
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// No engine of this build will do.
pub fn auto_for(policy: &SecurityPolicy, module: Option<&[u8]>) -> Result<Choice, NoEngine> {
    auto_among(&super::for_auto(), policy, module)
}

/// The same among `engines`, the preferred one first: for embedders with engines of their own.
///
/// # Errors
/// None of them will do.
pub fn auto_among(
    engines: &[Arc<dyn Engine>],
    policy: &SecurityPolicy,
    module: Option<&[u8]>,
) -> Result<Choice, NoEngine> {
    let mut used = None;
    let mut passed_over = Vec::new();
    for engine in engines {
        let descriptor = engine.descriptor();
        let capabilities = &descriptor.capabilities;
        let because = match policy.check(descriptor.id, capabilities) {
            Err(cannot) => WhyNot::CannotEnforce(cannot.requirement),
            // The module is read only where it could make a difference.
            Ok(()) if policy.features.minus(capabilities.features).is_empty() => {
                return Ok(Choice { engine: engine.clone(), passed_over });
            }
            Ok(()) => {
                let used = *used.get_or_insert_with(|| module.map_or(FeatureSet::NONE, |m| uses(m, policy)));
                let lacks: Vec<_> = used.minus(capabilities.features).iter().collect();
                if lacks.is_empty() {
                    return Ok(Choice { engine: engine.clone(), passed_over });
                }
                WhyNot::Lacks(lacks)
            }
        };
        passed_over.push(PassedOver { engine: descriptor.id, because });
    }
    let asked: Vec<_> = engines.iter().map(|engine| engine.descriptor().id).collect();
    let mut elsewhere = that_run(used.unwrap_or(FeatureSet::NONE), policy);
    elsewhere.built.retain(|name| !asked.contains(name));
    Err(NoEngine { passed_over, elsewhere })
}

/// The proposals that `module` uses, if the gate lets it through and anything could run it; if not, none, because
/// loading it will say better what is wrong.
fn uses(module: &[u8], policy: &SecurityPolicy) -> FeatureSet {
    let Ok(bytes) = recognise(module, &policy.module_limits) else { return FeatureSet::NONE };
    let Ok(valid) = validate(bytes.clone(), &policy.gate()) else { return FeatureSet::NONE };
    let used = valid.used();
    let common = KNOWN.iter().fold(used, |rest, known| rest.minus(known.features));
    if !common.is_empty() && survey(&bytes, &policy.module_limits).unsupported.is_some() {
        return FeatureSet::NONE;
    }
    used
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Determinism;
    use cofferdam_engine::{Capabilities, mock::MockEngine};

    const TAIL: &[u8] = br#"(module (func $f (export "run") (return_call $f)))"#;

    fn mock(change: impl FnOnce(&mut Capabilities)) -> Arc<dyn Engine> {
        Arc::new(MockEngine::new().with_capabilities(change))
    }

    fn without(proposal: Proposal) -> Arc<dyn Engine> {
        mock(|c| c.features = c.features.without(proposal))
    }

    fn picked(engines: &[Arc<dyn Engine>], policy: &SecurityPolicy, module: Option<&[u8]>) -> Result<usize, String> {
        let choice = auto_among(engines, policy, module).map_err(|none| none.to_string())?;
        Ok(engines.iter().position(|engine| Arc::ptr_eq(engine, &choice.engine)).expect("it is one of them"))
    }

    #[test]
    fn what_no_engine_of_the_build_can_do_is_said_once() {
        let same = |engine| PassedOver { engine, because: WhyNot::CannotEnforce("a limit") };
        let mut none = NoEngine { passed_over: vec![same("a"), same("b")], elsewhere: Elsewhere::default() };
        assert_eq!(none.to_string(), "no engine of this build can enforce a limit");
        none.passed_over[1].because = WhyNot::CannotEnforce("another");
        assert_eq!(
            none.to_string(),
            "no engine of this build can enforce the policy: a cannot enforce a limit; b cannot enforce another; \
             no engine that Cofferdam knows can"
        );
    }

    #[test]
    fn the_first_that_will_do_is_picked() {
        let all: FeatureSet = Proposal::ALL.iter().copied().collect();
        let engines =
            [mock(|c| c.nan_canonicalisation = false), without(Proposal::TailCalls), mock(|c| c.features = all)];
        let standard = SecurityPolicy::standard();
        assert_eq!(picked(&engines, &standard, None), Ok(0));
        assert_eq!(picked(&engines, &standard, Some(b"(module)")), Ok(0));
        let determined = standard.clone().determinism(Determinism::Full { seed: 1 });
        assert_eq!(picked(&engines, &determined, None), Ok(1));
        // What the policy does not allow counts for nothing: the gate refuses it.
        assert_eq!(picked(&engines, &determined, Some(TAIL)), Ok(1));
        let tail = determined.allow(Proposal::TailCalls);
        assert_eq!(picked(&engines, &tail, Some(TAIL)), Ok(2));
        assert_eq!(picked(&engines, &tail, Some(b"(module)")), Ok(1));
        assert_eq!(picked(&engines, &tail, Some(b"no module at all")), Ok(1));
        let choice = auto_among(&engines, &tail, Some(TAIL)).expect("the third does");
        assert_eq!(
            choice.to_string(),
            "mock cannot enforce canonical NaNs (determinism); mock lacks proposal `tail-calls`"
        );
        assert_eq!(
            auto_among(&engines, &SecurityPolicy::standard(), None).expect("yes").to_string(),
            "the first of this build"
        );
    }

    #[test]
    fn each_engine_that_will_not_do_says_why() {
        let engines = [mock(|c| c.deadline = false), without(Proposal::TailCalls)];
        let policy = SecurityPolicy::standard().allow(Proposal::TailCalls);
        let none = auto_among(&engines, &policy, Some(TAIL)).expect_err("neither does");
        assert!(none.is_about_the_module());
        let words = none.to_string();
        for part in ["can run the module", "cannot enforce the deadline", "lacks proposal `tail-calls`", "wasmtime"] {
            assert!(words.contains(part), "{words}");
        }
        let none = auto_among(&engines[..1], &policy, Some(TAIL)).expect_err("it does not");
        assert!(!none.is_about_the_module() && none.to_string().contains("can enforce the policy"), "{none}");
        let nothing = auto_among(&[], &policy, None).expect_err("there is none").to_string();
        assert!(nothing.contains("--features wasmer-cranelift, wasmtime, wasmi"), "{nothing}");
    }

    #[test]
    fn what_no_engine_ever_runs_is_left_to_the_gate() {
        let policy = SecurityPolicy::standard().allow(Proposal::Gc).allow(Proposal::FunctionReferences);
        let structs = br"(module (type (struct)) (func (drop (struct.new 0))))";
        let engines = [without(Proposal::Gc)];
        assert_eq!(picked(&engines, &policy, Some(structs)), Ok(0));
    }
}
