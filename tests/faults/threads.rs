//! Threads that cannot be had. A thread here needs more address space than the process is let have; everything else
//! does not.

use std::time::Duration;

use cofferdam::agent::{AgentConfig, AgentName, DeployError, RequestError, Runtime, RuntimeError};
use cofferdam::audit::{AuditLog, AuditLogConfig};
use cofferdam::host::agent::{KvOptions, KvStore, MODULE};
use cofferdam::policy::{Fuel, Grants, Limits};
use cofferdam::sandbox::{AsyncCallError, CallErrorKind, LoadError, NotRun, ResourceConfig, Resources};
use cofferdam::{GuestState, SecurityPolicy, Value};

use crate::child::{self, NoThreads, STACK};
use crate::{NEIGHBOUR, Neighbour, cells, sandbox};

/// Whether this is the child, whose threads are large.
fn alone(test: &str) -> bool {
    let child = child::told().is_some();
    if !child {
        child::succeeds(child::command(test, "all").env("RUST_MIN_STACK", STACK.to_string()));
    }
    child
}

fn tokio() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("it needs no thread")
}

#[test]
fn whoever_needs_a_thread_is_told_that_there_is_none() {
    if !alone("threads::whoever_needs_a_thread_is_told_that_there_is_none") {
        return;
    }
    let dir = tempfile::tempdir().expect("there is room");
    for (engine, mode) in cells() {
        let mut neighbour = Neighbour::new(&engine, mode);
        let sandbox = sandbox(&engine, mode, Limits::agent());
        let module = sandbox.load(NEIGHBOUR).expect("it is good");
        tokio().block_on(async {
            let mut guest = sandbox.guest(&module, GuestState::default()).expect("it fits").into_async();
            let squeezed = NoThreads::now();
            let fresh = br#"(module (func (export "next") (result i32) (i32.const 7)))"#;
            let refused = sandbox.load_async(fresh.to_vec()).await.map(drop);
            assert!(matches!(refused, Err(LoadError::NotRun(NotRun::Busy(_)))), "{refused:?}");
            let built = Runtime::builder().engine(engine.clone()).build().map(drop);
            assert!(matches!(&built, Err(RuntimeError::Thread(_))), "{built:?}");
            assert!(built.is_err_and(|error| error.to_string().starts_with("no thread can be had for timers: ")));
            let store = KvStore::open(&dir.path().join("state"), KvOptions::default()).map(drop);
            println!("{}", store.expect_err("it needs a thread"));
            let log = AuditLog::open(dir.path().join("audit"), &AuditLogConfig::default()).map(drop);
            println!("{}", log.expect_err("it needs a thread"));
            neighbour.goes_on();
            // An engine that compiles with several threads does without, or says so.
            let large = |n: u32| {
                let body = "(local.set 0 (i32.mul (local.get 0) (i32.const 31)))".repeat(40);
                let functions = format!("(func (param i32) (result i32) {body} (local.get 0))").repeat(800);
                wat::parse_str(format!("(module (memory {n}) {functions})")).expect("it is good")
            };
            match sandbox.load(&large(1)).map(drop) {
                Ok(()) => {}
                Err(LoadError::Compile(error)) => println!("{}: {error}", engine.descriptor().id),
                Err(error) => panic!("{error}"),
            }
            // The last, because the guest goes with it, and its memory makes room.
            let refused = guest.call("next", &[]).await.map_err(AsyncCallError::from);
            assert!(matches!(refused, Err(AsyncCallError::NotRun(NotRun::Busy(_)))), "{refused:?}");

            drop(squeezed);
            sandbox.load_async(fresh.to_vec()).await.expect("there are threads again");
            sandbox.load(&large(2)).unwrap_or_else(|e| panic!("there are threads again: {e}"));
            let mut guest = sandbox.guest(&module, GuestState::default()).expect("it fits").into_async();
            guest.call("next", &[]).await.expect("there are threads again");
        });
        neighbour.goes_on();
        assert_eq!(sandbox.resources().reserved_memory().get(), 0);
    }
    child::done();
}

/// What an engine starts once in a process is asked for again by the next guest, if there was no thread for it.
#[test]
fn an_engine_that_found_no_thread_finds_one_later() {
    if !alone("threads::an_engine_that_found_no_thread_finds_one_later") {
        return;
    }
    for (engine, mode) in cells() {
        let sandbox = sandbox(&engine, mode, Limits::agent());
        let module = sandbox.load(NEIGHBOUR).expect("it is good");
        let mut first = sandbox.guest(&module, GuestState::default()).expect("it fits");
        let squeezed = NoThreads::now();
        if let Err(error) = first.call("next", &[]).into_result() {
            println!("{} {mode}: {error}", engine.descriptor().id);
            assert_eq!(error.kind(), CallErrorKind::Engine, "{error}");
        }
        drop(squeezed);
        let mut next = sandbox.guest(&module, GuestState::default()).expect("it fits");
        assert_eq!(next.call("next", &[]).into_result().unwrap_or_else(|e| panic!("{e}")), [Value::I32(1)]);
    }
    child::done();
}

const ECHO: &[u8] = br#"(module (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 16))
  (func (export "handle_message") (param i32 i32) (result i32 i32) (local.get 0) (local.get 1))
  (func (export "spin") (loop (br 0))))"#;

/// Some agents have all the threads there are, for ever; another has messages, and no thread can be had for it.
#[test]
fn agents_without_a_thread_wait_until_there_is_one_and_requests_time_out() {
    if !alone("threads::agents_without_a_thread_wait_until_there_is_one_and_requests_time_out") {
        return;
    }
    for (engine, mode) in cells() {
        tokio().block_on(async {
            let limits = Limits { fuel: Fuel::UNLIMITED, timeout: None, ..Limits::agent() };
            let policy =
                SecurityPolicy::standard().fuel_mode(mode).grants(Grants::none().module(MODULE)).limits(limits);
            // However many processors there are, there are fewer threads than agents that want one.
            let resources = Resources::new(&ResourceConfig { run_permits: 2, ..Default::default() });
            let runtime = Runtime::builder().engine(engine.clone()).resources(resources.clone());
            let runtime = runtime.build().expect("a thread can be had");
            let deploy = async |name: &str, module: &[u8]| {
                let config = AgentConfig { policy: policy.clone(), ..AgentConfig::default() };
                runtime.deploy(AgentName::new(name).expect("it is a name"), module, config).await
            };
            let echo = deploy("echo", ECHO).await.expect("it is good");
            runtime.start(echo).await.expect("it starts");
            let mut spinners = Vec::new();
            for n in 0..32 {
                spinners.push(deploy(&format!("spins{n}"), ECHO).await.expect("it is good"));
            }
            runtime.start_all(&spinners).await.into_iter().for_each(|started| started.expect("they start"));

            let to = "echo".parse().expect("it is an address");
            // What an engine needs once in a process is there then.
            assert!(runtime.request(&to, b"hello", Duration::from_secs(60)).await.is_ok());
            let squeezed = NoThreads::now();
            // Threads that were there before are taken, one by one, until none is left to answer.
            let mut loops = Vec::new();
            let timed_out = loop {
                match runtime.request(&to, b"hello", Duration::from_millis(300)).await {
                    Ok(reply) => assert_eq!(&*reply, b"hello"),
                    // Or it came late because the machine is busy, and a thread is there.
                    Err(error) => match deploy("late", br#"(module (func (export "another")))"#).await {
                        Ok(late) => runtime.remove(late).await.expect("it is there"),
                        Err(_) => break error,
                    },
                }
                let spins = *spinners.get(loops.len()).expect("there are fewer threads than that");
                let runtime = runtime.clone();
                loops.push(tokio::spawn(async move { runtime.execute(spins, "spin", b"").await }));
                // Until it has begun, and has a thread for itself.
                tokio::time::sleep(Duration::from_millis(20)).await;
            };
            assert!(matches!(timed_out, RequestError::TimedOut), "{timed_out}");
            let refused = deploy("late", br#"(module (func (export "other")))"#).await;
            assert!(matches!(refused, Err(DeployError::Load(LoadError::NotRun(NotRun::Busy(_))))), "{refused:?}");
            drop(squeezed);
            let reply = runtime.request(&to, b"again", Duration::from_secs(60)).await;
            assert_eq!(reply.as_deref(), Ok(&b"again"[..]), "there are threads again");
            for spins in spinners {
                runtime.remove(spins).await.expect("it is there");
            }
            for looped in loops {
                assert!(looped.await.expect("no panic").is_err());
            }
            runtime.shutdown(Duration::from_secs(60)).await.expect("in time");
            assert_eq!((runtime.held(), resources.reserved_memory().get()), ((0, 0), 0));
        });
    }
    child::done();
}
