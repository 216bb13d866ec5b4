//! What each directive of a file asks for, done in a [`World`].

use cofferdam_engine::{InstantiateError, Limit, Stop, TrapKind, Value};
use cofferdam_prepare::{Refusal, ValidModule};
use wast::token::Id;
use wast::{QuoteWat, QuoteWatTest, WastArg, WastDirective, WastExecute, WastInvoke, WastRet};

use super::traps;
use super::values;
use super::world::{Failure, World};
use crate::trouble::{Done, Trouble};

/// Does what `directive` asks for.
///
/// # Errors
/// [`Trouble::Wrong`] if it does not come out as it says, [`Trouble::Lacks`] if the engine does not offer what
/// it needs.
pub(super) fn run(world: &mut World<'_>, directive: WastDirective<'_>) -> Done {
    match directive {
        WastDirective::Module(mut module) => {
            let name = module.name();
            world.module(name_of(&name), &binary(&mut module)?)
        }
        WastDirective::ModuleDefinition(mut module) => {
            let name = module.name();
            let compiled = world.compiled(&binary(&mut module)?);
            world.definition(name_of(&name), compiled.clone());
            compiled.map(drop)
        }
        WastDirective::ModuleInstance { instance, module, .. } => world.instance(name_of(&instance), name_of(&module)),
        WastDirective::Register { name, module, .. } => world.register(name_of(&module), name),
        WastDirective::Invoke(call) => invoke(world, &call).map(drop).map_err(Failure::unexpected),
        WastDirective::AssertReturn { exec, results, .. } => {
            let found = execute(world, exec).map_err(Failure::unexpected)?;
            same(&found, &results)
        }
        WastDirective::AssertTrap { exec, message, .. } => {
            let kind = trapped(execute(world, exec))?;
            let right = traps::means(message, kind);
            right.then_some(()).ok_or_else(|| Trouble::Wrong(format!("expected `{message}`, trapped with: {kind}")))
        }
        WastDirective::AssertException { exec, .. } => match trapped(execute(world, exec))? {
            TrapKind::UncaughtException => Ok(()),
            other => Err(Trouble::Wrong(format!("expected an exception, trapped with: {other}"))),
        },
        WastDirective::AssertExhaustion { call, .. } => match invoke(world, &call) {
            Err(Failure::Stop(Stop::Limit { limit: Limit::Stack, .. })) => Ok(()),
            Err(other) => Err(other.unexpected()),
            Ok(_) => Err(Trouble::wrong("it returned, and should have used up the stack budget")),
        },
        WastDirective::AssertUnlinkable { module, message, .. } => {
            let compiled = world.compiled(&binary(&mut QuoteWat::Wat(module))?)?;
            unlinkable(world.instance_of(&*compiled).map(drop), message)
        }
        WastDirective::AssertInvalid { module, .. } | WastDirective::AssertMalformed { module, .. } => {
            refused(world, module)
        }
        WastDirective::AssertMalformedCustom { module, .. } => refused(world, module),
        WastDirective::AssertInvalidCustom { .. } => Err(Trouble::Lacks("checks of custom sections".into())),
        WastDirective::AssertSuspension { .. } => Err(Trouble::Lacks("stack switching".into())),
        WastDirective::Thread(_) | WastDirective::Wait { .. } => Err(Trouble::Lacks("proposal `threads`".into())),
    }
}

fn name_of<'a>(id: &Option<Id<'a>>) -> Option<&'a str> {
    id.as_ref().map(Id::name)
}

fn binary(module: &mut QuoteWat<'_>) -> Done<Vec<u8>> {
    module.encode().map_err(|e| Trouble::Wrong(format!("the module cannot be read: {}", e.message())))
}

fn arguments(args: &[WastArg<'_>]) -> Done<Vec<Value>> {
    args.iter().map(values::argument).collect()
}

fn invoke(world: &mut World<'_>, call: &WastInvoke<'_>) -> Result<Vec<Value>, Failure> {
    // Whether there is an instance comes first: where there is none, what it takes is of no interest.
    world.invoke(name_of(&call.module), call.name, || arguments(&call.args))
}

fn execute(world: &mut World<'_>, what: WastExecute<'_>) -> Result<Vec<Value>, Failure> {
    match what {
        WastExecute::Invoke(call) => invoke(world, &call),
        WastExecute::Wat(module) => {
            let compiled = world.compiled(&binary(&mut QuoteWat::Wat(module))?)?;
            world.instance_of(&*compiled).map(|_| Vec::new())
        }
        WastExecute::Get { module, global, .. } => Ok(vec![world.get(name_of(&module), global)?]),
    }
}

fn same(found: &[Value], expected: &[WastRet<'_>]) -> Done {
    let mut fit = found.len() == expected.len();
    for (found, expected) in found.iter().zip(expected) {
        fit &= values::fits(found, expected)?;
    }
    fit.then_some(()).ok_or_else(|| {
        let found: Vec<_> = found.iter().map(ToString::to_string).collect();
        Trouble::Wrong(format!("returned {}, expected {expected:?}", found.join(" ")))
    })
}

/// The kind of trap that something ended with, be it in a call or while segments were written.
fn trapped(ended: Result<Vec<Value>, Failure>) -> Done<TrapKind> {
    match ended {
        Err(Failure::Stop(Stop::Trap(trap)) | Failure::Instantiate(InstantiateError::Trap(trap))) => Ok(trap.kind),
        Err(other) => Err(other.unexpected()),
        Ok(_) => Err(Trouble::wrong("it returned, and should have trapped")),
    }
}

fn unlinkable(made: Result<(), Failure>, message: &str) -> Done {
    let Err(failure) = made else { return Err(Trouble::wrong("it was linked")) };
    match (&failure, message) {
        (Failure::Instantiate(InstantiateError::MissingImport { .. }), "unknown import")
        | (Failure::Instantiate(InstantiateError::ImportType { .. }), "incompatible import type") => Ok(()),
        // In files from before bulk memory; a trap since then.
        (
            Failure::Instantiate(InstantiateError::Trap(_)),
            "elements segment does not fit" | "data segment does not fit",
        ) => Ok(()),
        (Failure::Instantiate(other), _) => Err(Trouble::Wrong(format!("expected `{message}`: {other}"))),
        _ => Err(failure.unexpected()),
    }
}

/// The gate must refuse `module`, for what it is and not for its size.
fn refused(world: &World<'_>, mut module: QuoteWat<'_>) -> Done {
    let bytes = match module.to_test() {
        // Quoted text is read by the gate's own reader; other text was read with the file, as far as it could.
        Ok(QuoteWatTest::Binary(bytes) | QuoteWatTest::Text(bytes)) => bytes,
        Err(_) => return Ok(()),
    };
    match world.gated(&bytes) {
        Ok(valid) => Err(Trouble::Wrong(format!("the gate let it pass{}", about(&valid)))),
        Err(refusal @ (Refusal::Limit { .. } | Refusal::ReservedName { .. })) => {
            Err(Trouble::Wrong(format!("refused for another reason: {refusal}")))
        }
        Err(_) => Ok(()),
    }
}

fn about(valid: &ValidModule) -> String {
    let used: Vec<_> = valid.used().iter().map(|p| p.name()).collect();
    if used.is_empty() { String::new() } else { format!(" (it uses {})", used.join(", ")) }
}
