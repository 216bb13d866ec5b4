//! Host functions and sinks of the embedder's that hang, fail and panic, and the threads on which they do.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cofferdam::agent::{AgentConfig, AgentName, ExecuteError, OnFailure, Runtime};
use cofferdam::host::agent::{AllowedTools, LogLine, LogSink, MODULE, ToolCall, ToolCaller, ToolFuture};
use cofferdam::policy::{Fuel, Grants, Limits};
use cofferdam::sandbox::{AsyncCallError, CallErrorKind, NotRun, ResourceConfig, Resources};
use cofferdam::{CallOptions, GuestState, HostError, HostFunc, Limit, Sandbox, SecurityPolicy, Value};

use crate::{Neighbour, cells};

/// Each export calls the host function of its name.
const CALLS: &[u8] = br#"(module
  (import "env" "hangs" (func $hangs)) (import "env" "fails" (func $fails)) (import "env" "panics" (func $panics))
  (import "env" "fails_later" (func $fails_later)) (import "env" "panics_later" (func $panics_later))
  (func (export "hangs") (call $hangs)) (func (export "fails") (call $fails)) (func (export "panics") (call $panics))
  (func (export "fails_later") (call $fails_later)) (func (export "panics_later") (call $panics_later))
  (func (export "fine") (result i32) (i32.const 7)))"#;

async fn later() {
    tokio::task::yield_now().await;
}

/// How each ends: what it is called, and what is said of it.
const ENDS: [(&str, &str); 5] = [
    ("hangs", "deadline"),
    ("fails", "as it is meant to"),
    ("panics", "panic"),
    ("fails_later", "as it is meant to"),
    ("panics_later", "panic"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn host_functions_that_hang_fail_or_panic_end_their_call_and_no_worker() {
    for (engine, mode) in cells() {
        let mut neighbour = Neighbour::new(&engine, mode);
        let limits = Limits { fuel: Fuel::UNLIMITED, timeout: None, ..Limits::agent() };
        // One thread for all calls: it is the same one that goes on.
        let config = ResourceConfig { max_calls_in_flight: 1, max_queued_calls: 64, ..ResourceConfig::default() };
        let failed = || Err::<(), _>(HostError::failed("as it is meant to"));
        let sandbox = Sandbox::builder(engine.clone())
            .policy(SecurityPolicy::standard().fuel_mode(mode).limits(limits))
            .func("env", "hangs", HostFunc::typed_async(|_, ()| Ok(std::future::pending::<Result<(), HostError>>())))
            .func("env", "fails", HostFunc::typed(move |_, ()| failed()))
            .func("env", "panics", HostFunc::typed(|_, ()| -> Result<(), HostError> { panic!("on purpose") }))
            .func(
                "env",
                "fails_later",
                HostFunc::typed_async(move |_, ()| {
                    Ok(async move {
                        later().await;
                        failed()
                    })
                }),
            )
            .func(
                "env",
                "panics_later",
                HostFunc::typed_async(|_, ()| {
                    Ok(async {
                        later().await;
                        if true {
                            panic!("on purpose")
                        }
                        Ok(())
                    })
                }),
            )
            .resources(Resources::new(&config))
            .build()
            .expect("it can be enforced");
        let module = sandbox.load_async(CALLS.to_vec()).await.expect("it is good");
        let soon = CallOptions::default().timeout(Duration::from_millis(10));
        for _ in 0..3 {
            for (export, words) in ENDS {
                let mut guest = sandbox.guest_async(&module, GuestState::default()).await.expect("it fits");
                let options = if export == "hangs" { &soon } else { &CallOptions::default() };
                let error = guest.call_with(export, &[], options).await.expect("its worker lives").into_result();
                let error = error.expect_err("it does not return");
                let kind = if export == "hangs" { CallErrorKind::Limit } else { CallErrorKind::Host };
                assert_eq!(error.kind(), kind, "{mode} {export}: {error}");
                assert_eq!(error.limit(), (export == "hangs").then_some(Limit::Deadline));
                assert!(error.to_string().contains(words), "{mode} {export}: {error}");
                drop(guest);
                let mut guest = sandbox.guest_async(&module, GuestState::default()).await.expect("it fits");
                let fine = guest.call("fine", &[]).await.expect("the worker goes on").into_result();
                assert_eq!(fine.expect("it returns"), [Value::I32(7)]);
            }
            // The embedder's own work on a worker, outside any call: the guest is lost, the thread is not.
            let mut guest = sandbox.guest_async(&module, GuestState::default()).await.expect("it fits");
            let lost = guest.run(|_| -> u32 { panic!("on purpose") }).await;
            assert_eq!(lost, Err(NotRun::Lost));
            let after = guest.call("fine", &[]).await.map_err(AsyncCallError::from);
            assert!(matches!(after, Err(AsyncCallError::NotRun(NotRun::Dropped))), "{after:?}");
        }
        neighbour.goes_on();
        assert_eq!(sandbox.resources().reserved_memory().get(), 0);
    }
}

/// Panics at whatever it is told, and counts how often.
struct Panics(AtomicUsize);

impl LogSink for Panics {
    fn line(&self, _: LogLine) {
        self.0.fetch_add(1, Ordering::SeqCst);
        panic!("on purpose");
    }
}

impl ToolCaller for Panics {
    fn call(&self, call: ToolCall) -> ToolFuture {
        self.0.fetch_add(1, Ordering::SeqCst);
        match &*call.tool {
            "now" => panic!("on purpose"),
            "later" => Box::pin(async {
                later().await;
                panic!("on purpose")
            }),
            _ => Box::pin(std::future::pending()),
        }
    }
}

const AGENT: &[u8] = br#"(module
  (import "cofferdam_v1" "log" (func $log (param i32 i32 i32) (result i32)))
  (import "cofferdam_v1" "call_tool" (func $tool (param i32 i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1) (data (i32.const 0) "now") (data (i32.const 8) "later") (data (i32.const 16) "never{}")
  (func $call (param i32 i32)
    (drop (call $tool (local.get 0) (local.get 1) (i32.const 21) (i32.const 2) (i32.const 64) (i32.const 64))))
  (func (export "log") (drop (call $log (i32.const 2) (i32.const 0) (i32.const 3))))
  (func (export "now") (call $call (i32.const 0) (i32.const 3)))
  (func (export "later") (call $call (i32.const 8) (i32.const 5)))
  (func (export "never") (call $call (i32.const 16) (i32.const 5)))
  (func (export "fine")))"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sinks_and_tools_that_panic_or_hang_end_the_agent_that_called_and_no_other() {
    for (engine, mode) in cells() {
        let panics = Arc::new(Panics(AtomicUsize::new(0)));
        let runtime = Runtime::builder().engine(engine.clone()).tools(panics.clone()).log(panics.clone());
        let runtime = runtime.build().expect("it is given");
        let limits = Limits { timeout: None, fuel: Fuel::UNLIMITED, ..Limits::agent() };
        let hurried = Limits { timeout: Some(Duration::from_millis(20)), ..limits.clone() };
        let policy =
            SecurityPolicy::standard().fuel_mode(mode).grants(Grants::none().module(MODULE)).limits(limits.clone());
        let deploy = async |name: &str| {
            let on_failure = OnFailure::Restart { times: 16 };
            let config =
                AgentConfig { policy: policy.clone(), tools: AllowedTools::All, on_failure, ..AgentConfig::default() };
            let id = runtime.deploy(AgentName::new(name).expect("it is one"), AGENT, config).await.expect("it is good");
            runtime.start(id).await.expect("it starts");
            id
        };
        let (agent, neighbour) = (deploy("agent").await, deploy("neighbour").await);
        for (export, kind) in [
            ("log", CallErrorKind::Host),
            ("now", CallErrorKind::Host),
            ("later", CallErrorKind::Host),
            ("never", CallErrorKind::Limit),
        ] {
            if export == "never" {
                runtime.set_limits(agent, hurried.clone()).expect("it can be enforced");
            }
            match runtime.execute(agent, export, b"").await {
                Err(ExecuteError::Call(error)) => assert_eq!(error.kind(), kind, "{mode} {export}: {error}"),
                ended => panic!("{mode} {export}: {ended:?}"),
            }
            runtime.set_limits(agent, limits.clone()).expect("it can be enforced");
            runtime.execute(neighbour, "fine", b"").await.expect("it goes on");
            // It was begun anew.
            runtime.execute(agent, "fine", b"").await.expect("it goes on");
        }
        assert_eq!(panics.0.load(Ordering::SeqCst), 4);
        assert_eq!(runtime.info(neighbour).expect("it is there").failure, None);
        runtime.shutdown(Duration::from_secs(60)).await.expect("in time");
        assert_eq!((runtime.held(), runtime.resources().reserved_memory().get()), ((0, 0), 0));
    }
}
