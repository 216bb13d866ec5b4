//! The negative control: a phase that leaks a little in every round. Each leak must be found, and named for what it is.

use std::fs::File;
use std::time::Duration;

use cofferdam::{GuestState, Sandbox, engines};

use crate::body::{Phase, Tally, did, watch};
use crate::{alone, show};

/// What is leaked in each round.
#[derive(Clone, Copy, Debug)]
enum Leak {
    Nothing,
    Memory,
    Descriptor,
    Thread,
    Guest,
}

/// A leak, and what must be said of it.
const LEAKS: [(Leak, &[&str]); 5] = [
    (Leak::Nothing, &[]),
    (Leak::Memory, &["resident KiB grows", "resident KiB is left"]),
    (Leak::Descriptor, &["descriptors grows", "descriptors is left"]),
    (Leak::Thread, &["threads grows", "threads is left"]),
    (Leak::Guest, &["reserved memory is", "mappings grows", "mappings is left"]),
];

struct Leaky {
    leak: Leak,
    sandbox: Sandbox,
}

impl Phase for Leaky {
    fn round(&mut self, tally: &mut Tally) {
        let module = self.sandbox.load(br#"(module (memory (export "memory") 1))"#).expect("it is good");
        let guest = self.sandbox.guest(&module, GuestState::default()).expect("it fits");
        match self.leak {
            Leak::Nothing => {}
            Leak::Memory => std::mem::forget(std::hint::black_box(vec![1_u8; 400 << 10])),
            Leak::Descriptor => std::mem::forget(File::open("/dev/null").expect("it is there")),
            Leak::Thread => drop(std::thread::spawn(|| std::thread::sleep(Duration::from_secs(3_600)))),
            Leak::Guest => std::mem::forget(guest),
        }
        did(tally, "rounds", 1);
    }

    fn sums(&self) -> Vec<(&'static str, u64)> {
        vec![("reserved memory", self.sandbox.resources().reserved_memory().get())]
    }
}

#[test]
fn every_leak_is_found_and_none_where_there_is_none() {
    for (leak, expected) in LEAKS {
        let about = format!("{leak:?}");
        let Some(asked) = alone("leaks::every_leak_is_found_and_none_where_there_is_none", &about) else { continue };
        if asked != about {
            continue;
        }
        // Of the engines, those that map memory for a guest show a guest that is left in their mappings.
        let engine = engines::all().into_iter().find(|engine| engine.descriptor().id != "wasmi");
        let (engine, mapped) = engine.map_or_else(|| (engines::all().remove(0), false), |engine| (engine, true));
        let open = || -> Box<dyn Phase> {
            let sandbox = Sandbox::builder(engine.clone()).build().expect("it can be enforced");
            Box::new(Leaky { leak, sandbox })
        };
        let report = watch(&about, &open, 1, 100, Duration::ZERO);
        show(&report);
        for words in expected.iter().filter(|words| mapped || !words.contains("mappings")) {
            assert!(
                report.wrong.iter().any(|wrong| wrong.contains(words)),
                "{leak:?}: {words} is not in {:?}",
                report.wrong
            );
        }
        assert_eq!(report.wrong.is_empty(), expected.is_empty(), "{leak:?}: {:?}", report.wrong);
    }
}
