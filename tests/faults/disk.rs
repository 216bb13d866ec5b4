//! A disk that is full: of the cache, of what agents store, of the audit log, of a guest's directory. The disk is a small
//! one in memory, which only root can mount; elsewhere these tests say that they were skipped.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use cofferdam::agent::{AgentConfig, AgentName, Runtime};
use cofferdam::audit::{AuditLog, AuditLogConfig, AuditSink as _};
use cofferdam::cache::{DiskCache, DiskCacheConfig};
use cofferdam::host::agent::{KvOptions, KvStore, MODULE};
use cofferdam::host::wasi::{Preopen, WasiConfig};
use cofferdam::policy::{Grants, Limits, MemoryBytes};
use cofferdam::sandbox::{ResourceConfig, Resources};
use cofferdam::{GuestState, Sandbox, SecurityPolicy, Value};

use crate::{Neighbour, cells, child};

/// The directory in which the child has its disk.
const DISK: &str = "COFFERDAM_TEST_DISK";

/// Runs `test` in a child with a disk of its own, of so many KiB. In the child, gives the disk.
fn on_a_small_disk(test: &str, kib: u64) -> Option<PathBuf> {
    if child::told().is_some() {
        return Some(PathBuf::from(std::env::var_os(DISK).expect("the parent says where")));
    }
    let dir = tempfile::tempdir().expect("there is room");
    let mount = format!("mount -t tmpfs -o size={kib}k,mode=0700 none '{}'", dir.path().display());
    let can = Command::new("unshare").args(["-m", "sh", "-c", &mount]).output();
    if !can.as_ref().is_ok_and(|can| can.status.success()) {
        println!("skipped: no disk can be mounted here, which takes root and `unshare`: {can:?}");
        return None;
    }
    let inner = child::command(test, "all");
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", &format!("{mount} && exec \"$0\" \"$@\"")]);
    command.arg(inner.get_program()).args(inner.get_args());
    for (name, value) in inner.get_envs() {
        command.env(name, value.expect("it is set"));
    }
    print!("{}", child::succeeds(command.env(DISK, dir.path())));
    None
}

/// Writes to a file until there is no room, and takes it away when it is dropped.
struct Full(PathBuf);

impl Full {
    fn of(disk: &Path) -> Self {
        let path = disk.join("filler");
        let mut size = 1 << 20;
        let mut file = std::fs::File::create(&path).expect("there is an inode");
        while size > 0 {
            if std::io::Write::write_all(&mut file, &vec![1; size]).is_err() {
                size /= 2;
            }
        }
        Self(path)
    }
}

impl Drop for Full {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).expect("it is there");
    }
}

/// Writes 4 KiB at a time to a new file until it is told that it cannot, and gives the errno.
const WRITES: &[u8] = br#"(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2) (data (i32.const 0) "file")
  (func (export "go") (result i32) (local $errno i32) (local $n i32)
    (local.set $errno (call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 4) (i32.const 9)
      (i64.const 0x42) (i64.const 0) (i32.const 0) (i32.const 16)))
    (if (local.get $errno) (then (return (local.get $errno))))
    (i32.store (i32.const 24) (i32.const 4096)) (i32.store (i32.const 28) (i32.const 4096))
    (loop $again
      (local.set $errno (call $write (i32.load (i32.const 16)) (i32.const 24) (i32.const 1) (i32.const 32)))
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (br_if $again (i32.and (i32.eqz (local.get $errno)) (i32.lt_u (local.get $n) (i32.const 4096)))))
    (local.get $errno))
  (func (export "after") (result i32) (i32.const 7)))"#;

/// `ENOSPC` of preview 1.
const NO_SPACE: i32 = 51;

#[test]
fn guests_are_told_and_a_cache_only_costs_time() {
    let Some(disk) = on_a_small_disk("disk::guests_are_told_and_a_cache_only_costs_time", 4 << 10) else { return };
    let full = Full::of(&disk);
    for (engine, mode) in cells() {
        let mut neighbour = Neighbour::new(&engine, mode);
        let cache = DiskCache::open(&DiskCacheConfig::new(disk.join("cache")));
        // With not even room for its key, there is no cache, by name.
        let cache = cache.map(Arc::new).inspect_err(|error| println!("{error}")).ok();
        let resources = Resources::new(&ResourceConfig { disk_cache: cache, ..ResourceConfig::default() });
        let policy = SecurityPolicy::standard().fuel_mode(mode).limits(Limits::tool());
        let sandbox = Sandbox::builder(engine.clone()).policy(policy).wasi().resources(resources).build();
        let sandbox = sandbox.expect("it can be enforced");
        let module = sandbox.load(WRITES).expect("that it cannot be kept is no failure");
        std::fs::create_dir_all(disk.join("box")).expect("it is there");
        let preopens = vec![Preopen::read_write(disk.join("box"), "/box")];
        let wasi = WasiConfig { preopens, ..WasiConfig::default() }.build().expect("the directory is there");
        let mut guest = sandbox.guest(&module, GuestState::with_wasi(wasi)).expect("it fits");
        assert_eq!(guest.call("go", &[]).into_result().expect("it goes on"), [Value::I32(NO_SPACE)]);
        assert_eq!(guest.call("after", &[]).into_result().expect("it goes on"), [Value::I32(7)]);
        drop(guest);
        neighbour.goes_on();
        assert_eq!(sandbox.resources().reserved_memory().get(), 0);
        std::fs::remove_file(disk.join("box/file")).expect("it was made");
    }
    drop(full);
    let cache = DiskCache::open(&DiskCacheConfig::new(disk.join("cache"))).expect("there is room again");
    assert_eq!(cache.inventory().expect("it can be read").files, 0, "nothing was left half-written");
    child::done();
}

/// Stores 64 KiB under a new name at each call, and gives what it was told.
const STORES: &[u8] = br#"(module
  (import "cofferdam_v1" "kv_set" (func $set (param i32 i32 i32 i32) (result i32)))
  (import "cofferdam_v1" "output_write" (func $write (param i32 i32) (result i32)))
  (memory (export "memory") 2)
  (func (export "store")
    (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1)))
    (i32.store (i32.const 8) (call $set (i32.const 0) (i32.const 4) (i32.const 0) (i32.const 65536)))
    (drop (call $write (i32.const 8) (i32.const 4))))
  (func (export "other")))"#;

#[test]
fn agents_are_told_that_nothing_is_stored_and_others_go_on() {
    let test = "disk::agents_are_told_that_nothing_is_stored_and_others_go_on";
    let Some(disk) = on_a_small_disk(test, 16 << 10) else { return };
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("it starts");
    for (n, (engine, mode)) in cells().into_iter().enumerate() {
        let options =
            KvOptions::default().flush_every(Duration::from_millis(1)).reopen_every(Duration::from_millis(10));
        let state = disk.join(format!("state{n}"));
        let storage = KvStore::open(&state, options).expect("there is room");
        let log = AuditLog::open(disk.join(format!("audit{n}")), &AuditLogConfig::default()).expect("there is room");
        let log = Arc::new(log);
        tokio.block_on(async {
            let runtime = Runtime::builder().engine(engine.clone()).storage(storage.clone()).audit(log.clone());
            let runtime = runtime.build().expect("it is given");
            let limits = Limits { message: MemoryBytes::mib(1), ..Limits::agent() };
            let policy =
                SecurityPolicy::standard().fuel_mode(mode).grants(Grants::none().module(MODULE)).limits(limits);
            let deploy = async |name: &str| {
                let config =
                    AgentConfig { policy: policy.clone(), storage: MemoryBytes::mib(64), ..AgentConfig::default() };
                let id = runtime.deploy(AgentName::new(name).expect("it is one"), STORES, config).await;
                let id = id.expect("it is good");
                runtime.start(id).await.expect("it starts");
                id
            };
            let stores = deploy("stores").await;
            let other = deploy("other").await;
            let store = async || {
                let told = runtime.execute(stores, "store", b"").await.unwrap_or_else(|e| panic!("{e}"));
                i32::from_le_bytes(told.try_into().expect("four bytes"))
            };
            assert_eq!(store().await, 0);
            storage.flush().expect("there is room");
            let full = Full::of(&disk);
            let mut told = 0;
            for _ in 0..10_000 {
                told = store().await;
                if told != 0 {
                    break;
                }
            }
            assert_eq!(told, cofferdam::host::agent::AbiError::Failed.code());
            // Nor can what happens be written down, which stops nobody.
            for _ in 0..100 {
                runtime.execute(other, "other", b"").await.expect("it goes on");
                assert!(runtime.execute(other, "nowhere", b"").await.is_err());
            }
            drop(full);
            for _ in 0..6_000 {
                told = store().await;
                if told == 0 {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            assert_eq!(told, 0, "there is room again");
            runtime.shutdown(Duration::from_secs(60)).await.expect("in time");
            assert_eq!((runtime.held(), runtime.resources().reserved_memory().get()), ((0, 0), 0));
        });
        let _ = log.flush();
        println!("{} {mode}: {} events lost", engine.descriptor().id, log.lost());
        drop((log, storage));
        std::fs::remove_dir_all(&state).expect("it is there");
    }
    child::done();
}

#[test]
fn the_command_names_a_full_disk_and_leaves_nothing_half_written() {
    let test = "disk::the_command_names_a_full_disk_and_leaves_nothing_half_written";
    let Some(disk) = on_a_small_disk(test, 2 << 10) else { return };
    let module = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/guests/words.wasm");
    let command = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cofferdam"));
        command.env("COFFERDAM_CACHE_DIR", disk.join("cache")).env_remove("COFFERDAM_ENGINE").current_dir(&disk);
        command
    };
    let full = Full::of(&disk);
    // The key is made first, and cannot be.
    let output = command().args(["compile", module, "-o", "words.cof"]).output().expect("it runs");
    let error = child::text(&output.stderr);
    println!("compile: {error}");
    assert!(!output.status.success() && error.contains("o space left"), "{error}");
    assert!(!disk.join("words.cof").exists());
    // A cache that cannot be kept is said, and is no failure.
    let output = command().args(["call", module, r#"{"text": "a bc"}"#]).output().expect("it runs");
    let (said, error) = (child::text(&output.stdout), child::text(&output.stderr));
    println!("call: {said} {error}");
    assert!(output.status.success() && said.contains('1'), "{said} {error}");

    // Agents with a storage and an audit log there: named, before anything runs.
    std::fs::set_permissions(&disk, std::fs::Permissions::from_mode(0o700)).expect("it is ours");
    drop(full);
    let agents = "state = 'state'\naudit = 'audit.jsonl'\n[agents.counter]\nmodule = 'counter.wasm'\npolicy.grants.capabilities = ['kv']\n";
    std::fs::write(disk.join("agents.toml"), agents).expect("there is room");
    let counter = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/guests/agents/counter.wasm");
    std::fs::copy(counter, disk.join("counter.wasm")).expect("there is room");
    let _full = Full::of(&disk);
    let output = command().args(["up", "agents.toml"]).env("COFFERDAM_SOCKET", disk.join("run/sock")).output();
    let output = output.expect("it runs");
    let error = child::text(&output.stderr);
    println!("up: {error}");
    assert!(!output.status.success() && error.contains("o space left"), "{error}");
    child::done();
}
