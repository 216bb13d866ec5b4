//! Guests: compiled, made, called, ended in every way there is, and dropped.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cofferdam::policy::{Fuel, Limits, MemoryBytes};
use cofferdam::sandbox::{Module, ResourceConfig, Resources};
use cofferdam::{CallOptions, CancelHandle, Engine, GuestState, HostError, HostFunc, Sandbox, Value};

use super::{Phase, Tally, did, policies, tokio};

/// Little is kept, so that what is kept is full soon.
pub fn small_cache() -> ResourceConfig {
    ResourceConfig { module_cache: MemoryBytes::mib(1), max_calls_in_flight: 8, ..ResourceConfig::default() }
}

/// A module that no other number gives, with a data segment of `bytes` bytes.
pub fn unique(number: u64, bytes: usize) -> String {
    let data = "x".repeat(bytes);
    format!(
        r#"(module (memory (export "memory") 2) (data (i32.const 16) "{data}")
          (func (export "number") (result i64) (i64.const {number}))
          (func (export "sum") (param i32) (result i32) (local $sum i32)
            (loop $next (local.set $sum (i32.add (local.get $sum) (i32.load8_u (local.get 0))))
              (br_if $next (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
            (local.get $sum)))"#
    )
}

/// The word for how a call of `export` on a new guest ended.
fn ended(sandbox: &Sandbox, module: &Module, export: &str, options: &CallOptions) -> &'static str {
    let mut guest = sandbox.guest(module, GuestState::default()).unwrap_or_else(|e| panic!("{export}: {e}"));
    guest.call_with(export, &[], options).outcome.reason().unwrap_or("completed")
}

/// Modules that were never seen, and modules that are refused.
pub struct Compile {
    sandboxes: Vec<Sandbox>,
    number: u64,
}

impl Compile {
    pub fn open(engine: &Arc<dyn Engine>, _: &Path) -> Box<dyn Phase> {
        let resources = Resources::new(&small_cache());
        let sandbox = |policy| Sandbox::builder(engine.clone()).policy(policy).resources(resources.clone()).build();
        let sandboxes = policies(engine).into_iter().map(|policy| sandbox(policy).expect("it can be enforced"));
        Box::new(Self { sandboxes: sandboxes.collect(), number: 0 })
    }
}

impl Phase for Compile {
    fn round(&mut self, tally: &mut Tally) {
        for sandbox in &self.sandboxes {
            // Of one size, so that as many of them are kept at any time.
            for _ in 0..2 {
                self.number += 1;
                let module = sandbox.load(unique(self.number, 60_000).as_bytes()).expect("it is good");
                let mut guest = sandbox.guest(&module, GuestState::default()).expect("it fits");
                let said = guest.call("number", &[]).into_result().expect("it returns");
                assert_eq!(said, [Value::I64(self.number.cast_signed())]);
                did(tally, "modules compiled", 1);
            }
            let refused = format!(r#"(module (import "env" "no{}" (func)))"#, self.number);
            assert!(sandbox.load(refused.as_bytes()).is_err());
            assert!(sandbox.load(&[b"\0asm\x01\0\0\0".as_slice(), &[0xff; 16]].concat()).is_err());
            did(tally, "modules refused", 2);
        }
    }

    fn sums(&self) -> Vec<(&'static str, u64)> {
        vec![("reserved memory", self.sandboxes[0].resources().reserved_memory().get())]
    }
}

/// Each export ends in the way that it is called.
const WAYS: &str = r#"(module
  (import "env" "fails" (func $fails))
  (memory (export "memory") 1) (table $t 10 funcref)
  (func (export "completed"))
  (func (export "unreachable") unreachable)
  (func (export "memory_out_of_bounds") (drop (i32.load (i32.const -4))))
  (func (export "integer_division_by_zero") (drop (i32.div_u (i32.const 1) (i32.const 0))))
  (func (export "indirect_call_to_null") (call_indirect $t (i32.const 3)))
  (func (export "fuel") (loop (br 0)))
  (func $deep (export "stack") (call $deep))
  (func (export "host_failed") (call $fails))
  (func (export "grown") (result i32)
    (drop (table.grow $t (ref.null func) (i32.const 5000)))
    (drop (memory.grow (i32.const 60)))
    (memory.fill (i32.const 0x380000) (i32.const 7) (i32.const 0x20000))
    (memory.size)))"#;

/// Guests of one module, made and dropped, in the hundreds.
pub struct Guests {
    guests: Vec<(Sandbox, Module)>,
}

impl Guests {
    pub fn open(engine: &Arc<dyn Engine>, _: &Path) -> Box<dyn Phase> {
        let resources = Resources::new(&small_cache());
        let limits = Limits { memory: MemoryBytes::mib(5), ..Limits::agent() };
        let guests = policies(engine).into_iter().map(|policy| {
            let sandbox = Sandbox::builder(engine.clone())
                .policy(policy.limits(limits.clone()))
                .func("env", "fails", HostFunc::typed(|_, ()| Err::<(), _>(HostError::failed("as it is meant to"))))
                .resources(resources.clone())
                .build()
                .expect("it can be enforced");
            let module = sandbox.load(WAYS.as_bytes()).unwrap_or_else(|e| panic!("{e}"));
            (sandbox, module)
        });
        Box::new(Self { guests: guests.collect() })
    }
}

impl Phase for Guests {
    fn round(&mut self, tally: &mut Tally) {
        for (sandbox, module) in &self.guests {
            let mut all = Vec::new();
            for n in 0..50 {
                let mut guest = sandbox.guest(module, GuestState::default()).expect("it fits");
                let said = guest.call("grown", &[]).into_result().expect("it returns");
                assert_eq!(said, [Value::I32(61)]);
                // Ten live at a time.
                all.push(guest);
                if n % 10 == 9 {
                    all.clear();
                }
            }
            did(tally, "guests that grew", 50);
            for way in [
                "completed",
                "unreachable",
                "memory_out_of_bounds",
                "integer_division_by_zero",
                "indirect_call_to_null",
                "fuel",
                "stack",
            ] {
                for _ in 0..5 {
                    assert_eq!(ended(sandbox, module, way, &CallOptions::default()), way);
                }
                did(tally, way, 5);
            }
            for _ in 0..5 {
                let mut guest = sandbox.guest(module, GuestState::default()).expect("it fits");
                assert!(guest.call("host_failed", &[]).into_result().is_err());
            }
            did(tally, "host functions that failed", 5);
        }
    }

    fn sums(&self) -> Vec<(&'static str, u64)> {
        vec![("reserved memory", self.guests[0].0.resources().reserved_memory().get())]
    }
}

/// Calls that somebody else ends: a deadline, a handle, a future that is dropped.
pub struct Ends {
    sandboxes: Vec<(Sandbox, Module)>,
    tokio: tokio::runtime::Runtime,
}

const ENDLESS: &str = r#"(module (import "env" "never" (func $never))
  (func (export "spin") (loop (br 0))) (func (export "wait") (call $never)))"#;

impl Ends {
    pub fn open(engine: &Arc<dyn Engine>, _: &Path) -> Box<dyn Phase> {
        let resources = Resources::new(&small_cache());
        let limits = Limits { fuel: Fuel::UNLIMITED, timeout: None, ..Limits::agent() };
        let sandboxes = policies(engine).into_iter().map(|policy| {
            let sandbox = Sandbox::builder(engine.clone())
                .policy(policy.limits(limits.clone()))
                .func(
                    "env",
                    "never",
                    HostFunc::typed_async(|_, ()| Ok(std::future::pending::<Result<(), HostError>>())),
                )
                .resources(resources.clone())
                .build()
                .expect("it can be enforced");
            let module = sandbox.load(ENDLESS.as_bytes()).expect("it is good");
            (sandbox, module)
        });
        Box::new(Self { sandboxes: sandboxes.collect(), tokio: tokio() })
    }
}

impl Phase for Ends {
    fn round(&mut self, tally: &mut Tally) {
        const SOON: Duration = Duration::from_millis(2);
        for (sandbox, module) in &self.sandboxes {
            for export in ["spin", "wait"] {
                assert_eq!(ended(sandbox, module, export, &CallOptions::default().timeout(SOON)), "deadline");
                let cancel = CancelHandle::new();
                let other = cancel.clone();
                let late = std::thread::spawn(move || {
                    std::thread::sleep(SOON);
                    other.cancel();
                });
                assert_eq!(ended(sandbox, module, export, &CallOptions::default().cancel(&cancel)), "cancelled");
                late.join().expect("it only cancels");
                did(tally, "calls past their deadline", 1);
                did(tally, "calls cancelled", 1);
                self.tokio.block_on(async {
                    for _ in 0..2 {
                        let mut guest = sandbox.guest_async(module, GuestState::default()).await.expect("it fits");
                        assert!(tokio::time::timeout(SOON, guest.call(export, &[])).await.is_err());
                    }
                });
                did(tally, "futures dropped", 2);
            }
        }
        // Those whose futures are gone end by themselves, soon.
        let resources = self.sandboxes[0].0.resources();
        for _ in 0..60_000 {
            if resources.reserved_memory().get() == 0 {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn sums(&self) -> Vec<(&'static str, u64)> {
        vec![("reserved memory", self.sandboxes[0].0.resources().reserved_memory().get())]
    }
}
