//! The artefact cache and compiled modules: what is believed, what is set aside, and that no failure of the disk
//! is ever a failure of a load.
#![cfg(feature = "any-engine")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use cofferdam::cache::{CacheError, DiskCache, DiskCacheConfig, Statistics, bundle, create_key_file, read_key_file};
use cofferdam::host::wasi::{Preopen, WasiConfig};
use cofferdam::policy::{Level, MemoryBytes, SecurityPolicy};
use cofferdam::sandbox::{GuestError, LoadError, ResourceConfig, Resources};
use cofferdam::{ArtefactKey, Engine, EngineDescriptor, GuestState, Module, Proposal, Sandbox, Value, engines};
use cofferdam_engine::{
    CompileError, CompiledModule, EngineFault, HostState, LoadError as EngineLoadError, PreparedModule, Store,
    StoreLimits, VerifiedArtefact,
};
use proptest::prelude::*;

/// An engine that counts how often it is asked to do what.
struct Counting {
    engine: Arc<dyn Engine>,
    compiled: AtomicUsize,
    loaded: AtomicUsize,
}

impl Engine for Counting {
    fn descriptor(&self) -> &EngineDescriptor {
        self.engine.descriptor()
    }
    fn settings(&self) -> String {
        self.engine.settings()
    }
    fn compile(&self, module: &PreparedModule) -> Result<Arc<dyn CompiledModule>, CompileError> {
        self.compiled.fetch_add(1, Ordering::SeqCst);
        self.engine.compile(module)
    }
    fn load(
        &self,
        module: &PreparedModule,
        artefact: &VerifiedArtefact,
    ) -> Result<Arc<dyn CompiledModule>, EngineLoadError> {
        self.loaded.fetch_add(1, Ordering::SeqCst);
        self.engine.load(module, artefact)
    }
    fn store(&self, limits: &StoreLimits, state: HostState) -> Result<Box<dyn Store>, EngineFault> {
        self.engine.store(limits, state)
    }
}

/// Every engine of this build that saves code, with a cache directory of its own.
fn rooms() -> Vec<Room> {
    let engines = engines::all().into_iter().filter(|engine| engine.descriptor().capabilities.artefacts);
    engines.map(Room::new).collect()
}

struct Room {
    engine: Arc<Counting>,
    home: tempfile::TempDir,
}

impl Room {
    fn new(engine: Arc<dyn Engine>) -> Self {
        let engine = Arc::new(Counting { engine, compiled: 0.into(), loaded: 0.into() });
        Self { engine, home: tempfile::tempdir().expect("a directory can be made") }
    }

    fn config(&self) -> DiskCacheConfig {
        DiskCacheConfig::new(self.home.path().join("cache"))
    }

    /// As a new process would see it.
    fn process(&self) -> Process {
        self.process_with(&self.config(), SecurityPolicy::standard())
    }

    fn process_with(&self, config: &DiskCacheConfig, policy: SecurityPolicy) -> Process {
        let disk = Arc::new(DiskCache::open(config).expect("the cache opens"));
        let resources = Resources::new(&ResourceConfig { disk_cache: Some(disk.clone()), ..ResourceConfig::default() });
        let builder = Sandbox::builder(self.engine.clone()).policy(policy).resources(resources);
        Process { sandbox: builder.build().expect("the engine enforces it"), disk }
    }

    fn counts(&self) -> (usize, usize) {
        (self.engine.compiled.load(Ordering::SeqCst), self.engine.loaded.load(Ordering::SeqCst))
    }

    fn artefacts(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(self.config().directory).expect("the cache is there");
        let paths = files.map(|file| file.expect("it can be listed").path());
        paths.filter(|path| path.extension().is_some_and(|e| e == "art")).collect()
    }

    fn artefact(&self) -> PathBuf {
        let mut all = self.artefacts();
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0)
    }
}

struct Process {
    sandbox: Sandbox,
    disk: Arc<DiskCache>,
}

impl Process {
    fn load(&self, n: i32) -> Module {
        self.sandbox.load(text(n).as_bytes()).expect("the module is right")
    }

    /// Loads module `n`, runs it and sees that it is that one.
    fn check(&self, n: i32) -> u64 {
        self.run(&self.load(n), n)
    }

    fn run(&self, module: &Module, n: i32) -> u64 {
        let mut guest = self.sandbox.guest(module, GuestState::default()).expect("it fits");
        let report = guest.call("add", &[Value::I32(40)]);
        assert_eq!(report.outcome.values(), Some(&[Value::I32(40 + n)][..]));
        let trapped = guest.call("trap", &[]);
        let places: Vec<_> = trapped.outcome.frames().iter().map(|p| (p.function, p.name.as_deref())).collect();
        assert_eq!(places, [(1, Some("trap"))], "frames are those of the module that came in");
        report.receipt.fuel
    }
}

fn text(n: i32) -> String {
    format!(
        "(module (memory 1) (data (i32.const 0) \"some data\")
            (func (export \"add\") (param i32) (result i32) (i32.add (local.get 0) (i32.const {n})))
            (func (export \"trap\") unreachable))"
    )
}

#[test]
fn the_next_process_finds_what_one_compiled() {
    for room in rooms() {
        let first = room.process();
        let fuel = first.check(1);
        assert_eq!(first.disk.statistics(), Statistics { misses: 1, stored: 1, ..Statistics::default() });
        drop(first);
        let second = room.process();
        assert_eq!(second.check(1), fuel, "what is loaded costs what is compiled costs");
        assert_eq!(second.disk.statistics(), Statistics { hits: 1, ..Statistics::default() });
        assert_eq!(room.counts(), (1, 1));
        let inventory = second.disk.inventory().expect("it can be listed");
        assert_eq!((inventory.files, inventory.quarantined), (1, 0));
        assert_eq!(inventory.statistics, Statistics { hits: 1, misses: 1, stored: 1, ..Statistics::default() });
        let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
        assert_eq!(mode(&room.config().directory), 0o700);
        assert_eq!(mode(&room.config().directory.join("key")), 0o600);
        assert_eq!(mode(&room.artefact()), 0o600);
    }
}

#[test]
fn no_damaged_artefact_is_loaded() {
    for room in rooms() {
        room.process().check(1);
        let path = room.artefact();
        let good = fs::read(&path).expect("it can be read");
        let mut damaged: Vec<Vec<u8>> = (0..64)
            .map(|i| {
                let at = if i < 48 { i } else { good.len() * (i - 47) / 17 };
                let mut bad = good.clone();
                bad[at] ^= 1 << (i % 8);
                bad
            })
            .collect();
        damaged.extend([0, 1, 8, 39, 40, 100, good.len() / 2, good.len() - 1].map(|len| good[..len].to_vec()));
        damaged.push([&good[..], b"x"].concat());
        for (i, bad) in damaged.iter().enumerate() {
            fs::write(&path, bad).expect("it can be written");
            let before = room.counts();
            let process = room.process();
            process.check(1);
            let long = bad.len() > good.len();
            assert_eq!(
                room.counts(),
                (before.0 + 1, before.1),
                "case {i}: compiled again, nothing loaded (long: {long})"
            );
            assert_eq!(process.disk.statistics().set_aside, 1, "case {i}");
            assert_eq!(fs::read(&path).expect("it was stored again").len(), good.len(), "case {i}");
        }
        for n in 2..12 {
            room.process().check(n);
        }
        for path in room.artefacts() {
            fs::write(path, "no artefact").expect("it can be written");
        }
        let process = room.process();
        assert_eq!(process.disk.verify().expect("it can be listed").set_aside.len(), 11);
        let inventory = process.disk.inventory().expect("it can be listed");
        assert_eq!((inventory.files, inventory.quarantined), (0, 8), "quarantine is bounded");
    }
}

/// Puts something else under an artefact's name.
type Damage<'a> = &'a dyn Fn(&Path);

#[test]
fn forged_renamed_and_odd_files_are_set_aside() {
    for room in rooms() {
        let other = Room::new(room.engine.engine.clone());
        other.process().check(1);
        let forged = fs::read(other.artefact()).expect("it can be read");
        room.process().check(1);
        let path = room.artefact();
        let make: [(&str, Damage<'_>); 5] = [
            ("sealed with another key", &|path| fs::write(path, &forged).expect("it can be written")),
            ("of another module", &|path| {
                room.process().check(2);
                let second = room.artefacts().into_iter().find(|p| p != path).expect("there are two");
                fs::rename(second, path).expect("it can be renamed");
            }),
            ("a directory", &|path| fs::create_dir(path).expect("it can be made")),
            ("a link to a good one", &|path| {
                room.process().check(1);
                let good = room.home.path().join("good");
                fs::rename(path, &good).expect("it can be renamed");
                symlink(&good, path).expect("it can be linked");
            }),
            ("a FIFO", &|path| {
                let made = std::process::Command::new("mkfifo").arg(path).status().expect("mkfifo is there");
                assert!(made.success());
            }),
        ];
        for (what, make) in make {
            if path.symlink_metadata().is_ok_and(|m| m.is_dir()) {
                fs::remove_dir(&path).expect("it can be removed");
            } else if path.symlink_metadata().is_ok() {
                fs::remove_file(&path).expect("it can be removed");
            }
            make(&path);
            let before = room.counts();
            room.process().check(1);
            assert_eq!(room.counts(), (before.0 + 1, before.1), "{what}: compiled again, nothing loaded");
        }
    }
}

#[test]
fn refusals_are_kept_too() {
    const SIMD: &str = "(module (func (export \"f\") (drop (v128.const i64x2 0 0))))";
    for room in rooms() {
        let refusal = |process: &Process| match process.sandbox.load(SIMD.as_bytes()) {
            Err(LoadError::Refused(refusal)) => refusal,
            other => panic!("{other:?}"),
        };
        let first = room.process();
        let said = refusal(&first);
        assert_eq!(refusal(&first), said);
        let second = room.process();
        assert_eq!(refusal(&second), said);
        assert_eq!(second.disk.statistics(), Statistics { refusal_hits: 1, ..Statistics::default() });
        // Another policy is another question.
        let wider = room.process_with(&room.config(), SecurityPolicy::standard().allow(Proposal::Simd));
        if room.engine.descriptor().capabilities.features.has(Proposal::Simd) {
            wider.sandbox.load(SIMD.as_bytes()).expect("now it is allowed");
        }
    }
}

#[test]
fn what_one_policy_let_in_is_not_lent_to_a_tighter_one() {
    for room in rooms() {
        room.process().check(1);
        let mut tight = SecurityPolicy::new(Level::Standard);
        tight.module_limits.data_segments = 0;
        let process = room.process_with(&room.config(), tight);
        let refused = process.sandbox.load(text(1).as_bytes());
        assert!(matches!(refused, Err(LoadError::Refused(_))), "{refused:?}");
        assert_eq!(process.disk.statistics().hits, 0);
    }
}

#[test]
fn a_directory_that_others_can_use_is_no_cache() {
    let home = tempfile::tempdir().expect("a directory can be made");
    let config = DiskCacheConfig::new(home.path().join("cache"));
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("the mode can be set");
    };
    drop(DiskCache::open(&config).expect("it is new"));
    for open in [0o777, 0o770, 0o755, 0o701] {
        mode(&config.directory, open);
        let refused = DiskCache::open(&config);
        assert!(matches!(refused, Err(CacheError::NotPrivate { .. })), "{open:o}: {refused:?}");
    }
    mode(&config.directory, 0o700);
    let key = config.directory.join("key");
    for readable in [0o644, 0o640, 0o602] {
        mode(&key, readable);
        assert!(matches!(DiskCache::open(&config), Err(CacheError::Key { .. })), "{readable:o}");
    }
    mode(&key, 0o600);
    drop(DiskCache::open(&config).expect("it is private again"));
    fs::write(&key, [0; 33]).expect("it can be written");
    assert!(matches!(DiskCache::open(&config), Err(CacheError::Key { .. })));
    fs::remove_file(&key).expect("it can be removed");
    symlink("/dev/zero", &key).expect("it can be linked");
    DiskCache::open(&config).expect_err("a link is not followed");
    fs::write(home.path().join("file"), "").expect("it can be written");
    let file = DiskCache::open(&DiskCacheConfig::new(home.path().join("file")));
    assert!(matches!(file, Err(CacheError::Io { .. })), "{file:?}");
}

#[test]
fn a_cache_that_vanishes_or_is_too_small_only_costs_time() {
    for room in rooms() {
        let process = room.process();
        fs::remove_dir_all(room.config().directory).expect("it can be removed");
        process.check(1);
        assert_eq!(process.disk.statistics().stored, 0);
        let tiny = DiskCacheConfig { max_bytes: MemoryBytes::new(100), ..room.config() };
        room.process_with(&tiny, SecurityPolicy::standard()).check(1);
        assert!(room.artefacts().is_empty());
    }
}

#[test]
fn what_was_not_used_for_longest_goes_first() {
    for room in rooms() {
        room.process().check(1);
        let bytes = fs::metadata(room.artefact()).expect("it is there").len();
        let config = DiskCacheConfig { max_bytes: MemoryBytes::new(bytes * 5 / 2), ..room.config() };
        let process = || room.process_with(&config, SecurityPolicy::standard());
        let first = room.artefact();
        process().check(2);
        let second = room.artefacts().into_iter().find(|path| *path != first).expect("there are two");
        let ago = |path: &Path, seconds| {
            let file = fs::File::options().write(true).open(path).expect("it is there");
            file.set_modified(SystemTime::now() - Duration::from_secs(seconds)).expect("times can be set");
        };
        ago(&first, 2_000);
        ago(&second, 1_000);
        // Used again, so that the second is now the older one.
        process().check(1);
        let third = process();
        third.check(3);
        assert_eq!(third.disk.statistics().evicted, 1);
        assert!(first.exists() && !second.exists());
        // What a process that died left half-written goes as well, in time.
        let left = config.directory.join("tmp-left");
        fs::write(&left, "half").expect("it can be written");
        ago(&left, 10_000);
        process().check(4);
        assert!(!left.exists());
    }
}

#[test]
fn many_processes_compile_a_module_once() {
    let all_at_once = |room: &Room| {
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| room.process().check(1));
            }
        });
    };
    // Several rounds: one process that looked before another stored, and claimed after it, once compiled again.
    for room in (0..16).flat_map(|_| rooms()) {
        all_at_once(&room);
        assert_eq!(room.counts(), (1, 7));
        // One that looks at a damaged file does not set aside the good one that another put in its place.
        let mut bytes = fs::read(room.artefact()).expect("it can be read");
        *bytes.last_mut().expect("it is not empty") ^= 1;
        fs::write(room.artefact(), bytes).expect("it can be written");
        all_at_once(&room);
        assert_eq!(room.counts(), (2, 14));
    }
}

#[test]
fn verify_and_clear_leave_a_cache_that_works() {
    for room in rooms() {
        let process = room.process();
        for n in 0..3 {
            process.check(n);
        }
        let bad = room.artefacts().remove(1);
        let mut bytes = fs::read(&bad).expect("it can be read");
        *bytes.last_mut().expect("it is not empty") ^= 1;
        fs::write(&bad, bytes).expect("it can be written");
        fs::write(room.config().directory.join("no-key.art"), "what is this").expect("it can be written");
        let verified = process.disk.verify().expect("it can be listed");
        assert_eq!((verified.good, verified.set_aside.len()), (2, 2), "{verified:?}");
        assert!(!bad.exists());
        assert_eq!(process.disk.clear().expect("it can be changed").0, 2);
        assert!(room.artefacts().is_empty());
        assert_eq!(process.disk.inventory().expect("it can be listed").quarantined, 0);
        room.process().check(1);
    }
}

#[test]
fn a_compiled_module_runs_where_its_key_is_trusted_and_is_compiled_elsewhere() {
    let (ours, theirs) = (ArtefactKey::new([1; 32]), ArtefactKey::new([2; 32]));
    for room in rooms() {
        let sandbox = |policy| Sandbox::builder(room.engine.clone()).policy(policy).build().expect("it is enforced");
        let check = |policy: SecurityPolicy, file: &[u8], trusted: &[ArtefactKey]| {
            let before = room.counts();
            let process = Process { sandbox: sandbox(policy), disk: room.process().disk };
            let (module, problem) = process.sandbox.load_compiled(file, trusted).expect("there is a module in it");
            process.run(&module, 1);
            let after = room.counts();
            ((after.0 - before.0, after.1 - before.1), problem.is_some())
        };
        let file = sandbox(SecurityPolicy::standard()).compile(text(1).as_bytes(), &ours).expect("it compiles");
        let (loaded, compiled) = (((0, 1), false), ((1, 0), true));
        let standard = SecurityPolicy::standard;
        assert_eq!(check(standard(), &file, std::slice::from_ref(&ours)), loaded);
        assert_eq!(check(standard(), &file, &[theirs.clone(), ours.clone()]), loaded);
        assert_eq!(check(standard(), &file, std::slice::from_ref(&theirs)), compiled);
        assert_eq!(check(standard(), &file, &[]), compiled);
        assert_eq!(check(SecurityPolicy::new(Level::Strict), &file, std::slice::from_ref(&ours)), compiled);
        let start = file.len() - (file.len() - 100) / 2;
        for at in (start..file.len()).step_by((file.len() - start) / 20) {
            let mut bad = file.clone();
            bad[at] ^= 0x10;
            assert_eq!(check(standard(), &bad, std::slice::from_ref(&ours)), compiled, "byte {at}");
        }
        // The module of one with the code of another: the code is not believed.
        let other = sandbox(standard()).compile(text(2).as_bytes(), &ours).expect("it compiles");
        let (one, two) = (bundle::read(&file).expect("whole"), bundle::read(&other).expect("whole"));
        let mixed = bundle::write(one.module, two.sealed);
        assert_eq!(check(standard(), &mixed, std::slice::from_ref(&ours)), compiled);
        for cut in [8, 12, 16, 40] {
            let refused = sandbox(standard()).load_compiled(&file[..cut], std::slice::from_ref(&ours));
            assert!(matches!(refused, Err(LoadError::Refused(_))), "cut at {cut}");
        }
    }
}

#[test]
fn no_guest_is_given_a_directory_through_which_it_reaches_the_cache() {
    for room in rooms() {
        let process = room.process();
        let module = process.load(1);
        let inside = room.config().directory.join("quarantine");
        fs::create_dir_all(&inside).expect("it can be made");
        let link = room.home.path().join("link");
        symlink(room.config().directory, &link).expect("it can be linked");
        let beside = room.home.path().join("beside");
        fs::create_dir(&beside).expect("it can be made");
        let guest = |preopen: Preopen| {
            let wasi = WasiConfig { preopens: vec![preopen], ..WasiConfig::default() }.build().expect("it opens");
            process.sandbox.guest(&module, GuestState::with_wasi(wasi)).map(drop)
        };
        for host in [Path::new("/"), room.home.path(), &room.config().directory, &inside, &link] {
            for preopen in
                [Preopen::read_write(host, "/d"), Preopen::read_only(host, "/d"), Preopen::overlay(host, "/d")]
            {
                let refused = guest(preopen);
                assert!(matches!(refused, Err(GuestError::CacheWithinReach { .. })), "{}", host.display());
            }
        }
        guest(Preopen::read_write(&beside, "/d")).expect("from there it is out of reach");
    }
}

#[test]
fn a_key_that_was_cut_off_gives_way_to_a_new_one() {
    for room in rooms() {
        room.process().check(1);
        fs::write(room.config().directory.join("key"), "cut").expect("it can be written");
        let process = room.process();
        process.check(1);
        assert_eq!(process.disk.statistics().set_aside, 1, "what the old key sealed is not believed");
        room.process().check(1);
        assert_eq!(room.counts(), (2, 1));
    }
}

#[test]
fn a_key_file_is_private_and_never_overwritten() {
    let home = tempfile::tempdir().expect("a directory can be made");
    let path = home.path().join("release.key");
    create_key_file(&path).expect("it is new");
    assert_eq!(fs::metadata(&path).expect("it is there").permissions().mode() & 0o777, 0o600);
    create_key_file(&path).expect_err("it exists");
    read_key_file(&path).expect("it was just made");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("the mode can be set");
    assert!(matches!(read_key_file(&path), Err(CacheError::Key { .. })));
    assert!(matches!(read_key_file(home.path()), Err(CacheError::Key { .. })));
    assert!(matches!(read_key_file(&home.path().join("none")), Err(CacheError::KeyFile { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_are_loaded_as_code(len in 0..100u64, junk in proptest::collection::vec(any::<u8>(), 0..200)) {
        let file = [&bundle::MAGIC[..], &len.to_le_bytes(), &junk].concat();
        for engine in engines::all() {
            let engine = Arc::new(Counting { engine, compiled: 0.into(), loaded: 0.into() });
            let sandbox = Sandbox::builder(engine.clone()).build().expect("it is enforced");
            prop_assert!(sandbox.load_compiled(&file, &[ArtefactKey::new([1; 32])]).is_err());
            prop_assert_eq!(engine.loaded.load(Ordering::SeqCst), 0);
        }
    }
}
