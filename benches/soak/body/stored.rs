//! What is on a disk: artefacts that are written, found and evicted, compiled modules in one file, files of guests.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cofferdam::cache::{DiskCache, DiskCacheConfig};
use cofferdam::host::wasi::{Preopen, WasiConfig};
use cofferdam::policy::MemoryBytes;
use cofferdam::sandbox::{ResourceConfig, Resources};
use cofferdam::{ArtefactKey, Engine, GuestState, Sandbox, SecurityPolicy, Value};

use super::guests::{small_cache, unique};
use super::{Phase, Tally, did, policies};

/// Opens the same file until it may no more, and leaves all of them open.
const OPENS: &str = include_str!("../../../tests/guests/hostile/open_many.wat");

/// Artefacts and files; nothing of it is kept in memory from round to round.
pub struct Stored {
    engine: Arc<dyn Engine>,
    policies: Vec<SecurityPolicy>,
    dir: PathBuf,
    number: u64,
}

impl Stored {
    pub fn open(engine: &Arc<dyn Engine>, dir: &Path) -> Box<dyn Phase> {
        std::fs::create_dir(dir.join("box")).expect("there is room");
        std::fs::write(dir.join("box/file"), "hello\n").expect("there is room");
        Box::new(Self { engine: engine.clone(), policies: policies(engine), dir: dir.to_owned(), number: 0 })
    }

    /// A sandbox like one of another process.
    fn sandbox(&self, policy: &SecurityPolicy) -> Sandbox {
        let config =
            DiskCacheConfig { max_bytes: MemoryBytes::kib(512), ..DiskCacheConfig::new(self.dir.join("cache")) };
        let disk = DiskCache::open(&config).unwrap_or_else(|e| panic!("{e}"));
        let resources = Resources::new(&ResourceConfig { disk_cache: Some(Arc::new(disk)), ..small_cache() });
        let sandbox = Sandbox::builder(self.engine.clone()).policy(policy.clone()).wasi().resources(resources);
        sandbox.build().expect("it can be enforced")
    }
}

impl Phase for Stored {
    fn round(&mut self, tally: &mut Tally) {
        let key = ArtefactKey::new([7; 32]);
        for policy in &self.policies {
            self.number += 1;
            let text = unique(self.number, 1_000);
            self.sandbox(policy).load(text.as_bytes()).expect("it is good");
            let other = self.sandbox(policy);
            let module = other.load(text.as_bytes()).expect("it is good");
            let mut guest = other.guest(&module, GuestState::default()).expect("it fits");
            let said = guest.call("number", &[]).into_result().expect("it returns");
            assert_eq!(said, [Value::I64(self.number.cast_signed())]);
            did(tally, "artefacts written", 1);
            if other.resources().disk_cache().is_some_and(|disk| disk.statistics().hits == 1) {
                did(tally, "artefacts found", 1);
            }
            let file = other.compile(unique(self.number, 2_000).as_bytes(), &key).expect("it is good");
            let (_, why) = self.sandbox(policy).load_compiled(&file, std::slice::from_ref(&key)).expect("it is good");
            assert_eq!(why, None);
            did(tally, "compiled files loaded", 1);

            let module = other.load(OPENS.as_bytes()).expect("it is good");
            let preopens = vec![Preopen::read_write(self.dir.join("box"), "/box")];
            let wasi = WasiConfig { preopens, ..WasiConfig::default() }.build().expect("the directory is there");
            let mut guest = other.guest(&module, GuestState::with_wasi(wasi)).expect("it fits");
            let opened = guest.call("run", &[]).into_result().expect("it returns");
            let [Value::I32(opened)] = opened[..] else { panic!("{opened:?}") };
            assert!(opened > 10, "{opened}");
            did(tally, "files opened and left open", opened.unsigned_abs().into());
        }
    }

    fn sums(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }
}
