//! WASI programs in one line, and host functions with state of the embedder's own.

use std::time::Duration;

use cofferdam::host::CallerExt as _;
use cofferdam::host::wasi::{MemoryDir, Preopen};
use cofferdam::policy::{Fuel, Limits, MemoryBytes};
use cofferdam::sandbox::{CallErrorKind, CommandError, LoadError, ResourceConfig, Resources};
use cofferdam::{CancelHandle, Engine, FuelMode, GuestState, HostFunc, Limit, Sandbox, SecurityPolicy};

use crate::matrix::matrix;

const WORDCOUNT: &[u8] = include_bytes!("../../examples/guests/wordcount.wasm");

fn sandbox(engine: std::sync::Arc<dyn Engine>, mode: FuelMode, limits: Limits) -> Sandbox {
    let config = ResourceConfig { max_calls_in_flight: 1, max_queued_calls: 0, ..ResourceConfig::default() };
    Sandbox::builder(engine)
        .policy(SecurityPolicy::standard().fuel_mode(mode))
        .wasi()
        .limits(limits)
        .resources(Resources::new(&config))
        .build()
        .expect("it can be enforced")
}

#[test]
fn a_command_has_what_it_was_given_and_says_how_it_ended() {
    let dir = tempfile::tempdir().expect("there is room");
    std::fs::write(dir.path().join("a.txt"), "one two\nthree\n").expect("there is room");
    for (engine, mode) in matrix() {
        let sandbox = sandbox(engine, mode, Limits::tool());
        let module = sandbox.load(WORDCOUNT).expect("it is good");
        let output = sandbox.command(&module).stdin("a b c").run().expect("it runs");
        assert_eq!((output.text().as_ref(), output.success()), ("       0       3       5\n", true), "{mode}");
        let output = sandbox.command(&module).args(["/in/a.txt"]).dir(dir.path(), "/in").run().expect("it runs");
        assert_eq!(output.text(), "       2       3      14 /in/a.txt\n");
        assert!(output.receipt.fuel > 0 && output.stderr.is_empty());

        let files = MemoryDir::new().file("a.txt", "x y\n");
        let run = sandbox.command(&module).arg("/m/a.txt").preopen(Preopen::memory(files, "/m")).run();
        let output = run.expect("it runs");
        assert_eq!(output.text(), "       1       2       4 /m/a.txt\n");
        assert_eq!(output.files("/m").and_then(|files| files.read("a.txt")), Some(b"x y\n".to_vec()));
        assert!(output.files("/in").is_none());

        // The program's own failure is its exit code, not an error.
        let output =
            sandbox.command(&module).name("wc").arg("/in/b.txt").dir(dir.path(), "/in").run().expect("it runs");
        assert_eq!((output.exit_code, output.success()), (1, false));
        assert!(String::from_utf8_lossy(&output.stderr).contains("b.txt"), "{output:?}");
    }
}

/// Writes `n` lines of eight bytes, as many as its first argument is long, then loops for ever.
const CHATTY: &str = r#"(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\08\00\00\00\08\00\00\00chatter\0a")
  (func (export "_start")
    (drop (call $environ (i32.const 64) (i32.const 68)))
    (loop $again
      (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 32)))
      (i32.store (i32.const 64) (i32.sub (i32.load (i32.const 64)) (i32.const 1)))
      (br_if $again (i32.ne (i32.load (i32.const 64)) (i32.const 0))))
    (loop $ever (br $ever))))"#;

#[test]
fn a_command_that_is_ended_leaves_what_it_wrote() {
    for (engine, mode) in matrix() {
        let sandbox = sandbox(engine, mode, Limits { fuel: Fuel::new(100_000), ..Limits::tool() });
        let module = sandbox.load(CHATTY.as_bytes()).expect("it is good");
        let chatty = || sandbox.command(&module).env("A", "1").env("B", "2");
        let error = chatty().run().expect_err("it never ends");
        assert_eq!(error.call_error().and_then(|e| e.limit()), Some(Limit::Fuel), "{error}");
        assert!(matches!(&error, CommandError::Ended { stdout, .. } if stdout == b"chatter\nchatter\n"), "{error:?}");
        assert_eq!(error.to_string(), "fuel budget spent (raise it with `Limits::fuel`)");

        let tight = Limits { output: MemoryBytes::new(12), ..Limits::tool() };
        let error = chatty().limits(tight).run().expect_err("it writes more");
        assert_eq!(
            error.call_error().map(|e| (e.kind(), e.limit())),
            Some((CallErrorKind::Limit, Some(Limit::Output)))
        );
        assert!(matches!(&error, CommandError::Ended { stdout, .. } if stdout == b"chatter\nchat"), "{error:?}");

        let cancel = CancelHandle::new();
        cancel.cancel();
        let error = chatty().cancel(&cancel).run().expect_err("it was cancelled");
        assert_eq!(error.call_error().and_then(|e| e.limit()), Some(Limit::Cancelled), "{error}");
        let error = chatty().env("=", "").run().expect_err("there is no such name");
        assert!(matches!(error, CommandError::Wasi(_)), "{error}");
        let library = sandbox.load(br#"(module (func (export "f")))"#).expect("it is good");
        assert!(matches!(sandbox.command(&library).run(), Err(CommandError::NotCommand)));
    }
}

#[tokio::test]
async fn a_command_is_awaited_and_ends_with_its_future() {
    for (engine, mode) in matrix() {
        let sandbox = sandbox(engine, mode, Limits { fuel: Fuel::UNLIMITED, timeout: None, ..Limits::tool() });
        let endless = sandbox.load_async(CHATTY).await.expect("it is good");
        let module = sandbox.load_async(WORDCOUNT).await.expect("it is good");
        let task = tokio::spawn(sandbox.command(&endless).env("A", "1").run_async());
        while sandbox.resources().reserved_memory().get() == 0 {
            tokio::task::yield_now().await;
        }
        task.abort();
        // There is one worker: this waits until it has come free.
        let next = sandbox.command(&module).stdin("a b c").run_async();
        let output = tokio::time::timeout(Duration::from_secs(60), next).await.expect("nothing is stuck");
        assert_eq!(output.expect("it runs").text(), "       0       3       5\n", "{mode}");
        assert_eq!(sandbox.resources().reserved_memory().get(), 0);
    }
}

#[test]
fn host_functions_find_the_data_of_their_guest_and_are_granted_as_given() {
    #[derive(Debug)]
    struct Seen(Vec<u32>);
    let text = r#"(module (import "env" "see" (func $see (param i32)))
      (func (export "go") (param i32) (call $see (local.get 0))))"#;
    for (engine, mode) in matrix() {
        let see = HostFunc::typed(|caller, n: u32| {
            caller.data::<Seen>()?.0.push(n);
            Ok(())
        });
        let policy = SecurityPolicy::standard().fuel_mode(mode);
        let builder = || Sandbox::builder(engine.clone()).policy(policy.clone());
        let sandbox = builder().func("env", "see", see).build().expect("it can be enforced");
        let module = sandbox.load(text.as_bytes()).expect("what is given on the builder is granted");
        let mut guests: Vec<_> = (0..2)
            .map(|n| sandbox.guest(&module, GuestState::default().with(Seen(vec![n]))).expect("it fits"))
            .collect();
        for (n, guest) in (10..).zip(&mut guests) {
            guest.call("go", &[n.into()]).into_result().expect("it returns");
        }
        let seen = guests.iter_mut().map(|g| g.state().and_then(|s| s.get_mut::<Seen>()).map(|s| s.0.clone()));
        assert_eq!(seen.collect::<Vec<_>>(), [Some(vec![0, 10]), Some(vec![1, 11])]);

        let start = text.replace(
            "(export \"go\") (param i32) (call $see (local.get 0))",
            "(export \"_start\") (call $see (i32.const 7))",
        );
        let program = sandbox.load(start.as_bytes()).expect("it is good");
        let output = sandbox.command(&program).data(Seen(vec![3])).run().expect("it runs");
        assert_eq!(output.get::<Seen>().map(|s| s.0.clone()), Some(vec![3, 7]));

        let mut without = sandbox.guest(&module, GuestState::default()).expect("it fits");
        let error = without.call("go", &[1.into()]).into_result().expect_err("it has no such data");
        assert_eq!(error.kind(), CallErrorKind::Host, "{error}");
        assert!(error.to_string().contains("Seen"), "{error}");
        // Nothing else is granted by it, and WASI only on request.
        let refused = builder().build().expect("it can be enforced").load(WORDCOUNT).expect_err("WASI is not granted");
        assert!(matches!(refused, LoadError::Imports(_)), "{refused}");
    }
}
