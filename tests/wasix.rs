//! WASIX programs: what they can do, what refuses them, and that every limit holds.
#![cfg(feature = "wasix")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use cofferdam::host::wasi::Preopen;
use cofferdam::policy::{Determinism, Fuel, Grants, Limits, MemoryBytes, SecurityPolicy, WasixPermission};
use cofferdam::sandbox::{Command, CommandError, CommandOutput, ImportRefusal, LoadError, Module};
use cofferdam::{CancelHandle, Engine, Limit, Outcome, Sandbox, engines};

fn wasmer() -> Arc<dyn Engine> {
    engines::by_name("wasmer-cranelift").expect("the feature brings it")
}

fn sandbox(limits: Limits) -> Sandbox {
    Sandbox::builder(wasmer()).wasix().limits(limits).build().expect("all of it can be enforced")
}

fn load(sandbox: &Sandbox, module: &str) -> Module {
    sandbox.load(module.as_bytes()).unwrap_or_else(|e| panic!("{e}"))
}

fn run(command: Command) -> CommandOutput {
    command.run().unwrap_or_else(|e| panic!("{e}"))
}

/// The limit that stopped it.
fn stopped(ended: Result<CommandOutput, CommandError>) -> (Limit, Vec<u8>) {
    match ended {
        Err(CommandError::Ended { error, stdout, .. }) => match error.outcome() {
            Outcome::Stopped { limit, .. } => (*limit, stdout),
            other => panic!("{other}"),
        },
        Err(other) => panic!("{other}"),
        Ok(output) => panic!("it ended with {}", output.exit_code),
    }
}

/// A program whose `_start` is `body`, with the imports that the tests use.
fn program(body: &str) -> String {
    format!(
        r#"(module
  (import "wasix_32v1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasix_32v1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasix_32v1" "fd_dup" (func $fd_dup (param i32 i32) (result i32)))
  (import "wasix_32v1" "fd_close" (func $fd_close (param i32) (result i32)))
  (import "wasix_32v1" "proc_exit" (func $proc_exit (param i32)))
  (import "wasix_32v1" "getcwd" (func $getcwd (param i32 i32) (result i32)))
  (import "wasix_32v1" "chdir" (func $chdir (param i32 i32) (result i32)))
  (import "wasix_32v1" "thread_sleep" (func $thread_sleep (param i64) (result i32)))
  (import "wasix_32v1" "thread_parallelism" (func $thread_parallelism (param i32) (result i32)))
  (import "wasix_32v1" "futex_wait" (func $futex_wait (param i32 i32 i32 i32) (result i32)))
  (import "wasix_32v1" "random_get" (func $random_get (param i32 i32) (result i32)))
  (import "wasix_32v1" "sched_yield" (func $sched_yield (result i32)))
  (import "wasix_32v1" "args_sizes_get" (func $args_sizes_get (param i32 i32) (result i32)))
  (import "wasix_32v1" "args_get" (func $args_get (param i32 i32) (result i32)))
  (import "wasix_32v1" "poll_oneoff" (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
  (import "wasix_32v1" "path_open" (func $path_open
    (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (data (i32.const 1024) "hello from WASIX\n")
  (data (i32.const 2048) "data/in.txt")
  (data (i32.const 2064) "data/out.txt")
  (data (i32.const 2080) "data/../../etc/passwd")
  (data (i32.const 2112) "data/link")
  (func $ok (param $errno i32) (if (local.get $errno) (then (call $proc_exit (local.get $errno)))))
  (func $write (param $fd i32) (param $ptr i32) (param $len i32) (result i32)
    (i32.store (i32.const 0) (local.get $ptr))
    (i32.store (i32.const 4) (local.get $len))
    (call $fd_write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8)))
  (func $open (param $ptr i32) (param $len i32) (param $flags i32) (param $rights i64) (result i32)
    ;; Descriptor 3 is the root that WASIX has.
    (call $path_open (i32.const 3) (i32.const 1) (local.get $ptr) (local.get $len) (local.get $flags)
      (local.get $rights) (local.get $rights) (i32.const 0) (i32.const 16)))
  (func (export "_start") {body}))"#
    )
}

#[test]
fn a_program_prints_and_its_fuel_is_counted() {
    let sandbox = sandbox(Limits::tool());
    let hello = "(call $ok (call $write (i32.const 1) (i32.const 1024) (i32.const 17)))";
    let module = load(&sandbox, &program(hello));
    let [first, second] = [(); 2].map(|()| run(sandbox.command(&module)));
    assert_eq!((first.exit_code, &*first.text()), (0, "hello from WASIX\n"));
    assert!(first.receipt.fuel > 1_000 && first.receipt.fuel == second.receipt.fuel, "{}", first.receipt.fuel);
    let twice = run(sandbox.command(&load(&sandbox, &program(&hello.repeat(2)))));
    assert_eq!(twice.text().lines().count(), 2);
    assert!(twice.receipt.fuel > first.receipt.fuel + 1_000);
    // The exit code is the guest's own, all of it.
    let exit = run(sandbox.command(&load(&sandbox, &program("(call $proc_exit (i32.const -3))"))));
    assert_eq!(exit.exit_code, (-3_i32).cast_unsigned());
}

#[test]
fn arguments_and_standard_input_arrive() {
    let sandbox = sandbox(Limits::tool());
    // Its second argument, then standard input to the end.
    let module = load(
        &sandbox,
        &program(
            "(call $ok (call $args_sizes_get (i32.const 32) (i32.const 36)))
             (call $ok (call $args_get (i32.const 64) (i32.const 4096)))
             (call $ok (call $write (i32.const 1) (i32.load (i32.const 68)) (i32.const 3)))
             (loop $again
               (i32.store (i32.const 0) (i32.const 8192))
               (i32.store (i32.const 4) (i32.const 7))
               (call $ok (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
               (if (i32.load (i32.const 8)) (then
                 (call $ok (call $write (i32.const 2) (i32.const 8192) (i32.load (i32.const 8))))
                 (br $again))))",
        ),
    );
    let output = run(sandbox.command(&module).arg("abc").stdin("some words to copy"));
    assert_eq!((output.exit_code, &*output.text()), (0, "abc"));
    assert_eq!(output.stderr, b"some words to copy");
}

#[test]
fn files_are_those_that_were_given_and_nothing_else() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(dir.path().join("in.txt"), "from the host\n").expect("it can be written");
    std::os::unix::fs::symlink("/etc/passwd", dir.path().join("link")).expect("it can be made");
    let sandbox = sandbox(Limits::tool());
    // Rights: read 2, write 64. Flags: create 1.
    let read = load(
        &sandbox,
        &program(
            "(call $ok (call $open (i32.const 2048) (i32.const 11) (i32.const 0) (i64.const 2)))
             (i32.store (i32.const 0) (i32.const 8192))
             (i32.store (i32.const 4) (i32.const 100))
             (call $ok (call $fd_read (i32.load (i32.const 16)) (i32.const 0) (i32.const 1) (i32.const 8)))
             (call $ok (call $write (i32.const 1) (i32.const 8192) (i32.load (i32.const 8))))",
        ),
    );
    let output = run(sandbox.command(&read).dir(dir.path(), "/data"));
    assert_eq!((output.exit_code, &*output.text()), (0, "from the host\n"));
    assert_ne!(run(sandbox.command(&read)).exit_code, 0, "no directory was given");

    let write = load(
        &sandbox,
        &program(
            "(call $ok (call $open (i32.const 2064) (i32.const 12) (i32.const 1) (i64.const 64)))
             (call $ok (call $write (i32.load (i32.const 16)) (i32.const 1024) (i32.const 17)))
             (call $ok (call $fd_close (i32.load (i32.const 16))))",
        ),
    );
    assert_ne!(run(sandbox.command(&write).dir(dir.path(), "/data")).exit_code, 0, "it is read-only");
    assert!(!dir.path().join("out.txt").exists());
    let given = sandbox.command(&write).preopen(Preopen::read_write(dir.path(), "/data"));
    assert_eq!(run(given).exit_code, 0);
    let written = std::fs::read_to_string(dir.path().join("out.txt")).expect("it was written");
    assert_eq!(written, "hello from WASIX\n");

    for (at, len) in [(2080, 21), (2112, 9)] {
        let escape = format!(
            "(call $ok (call $open (i32.const {at}) (i32.const {len}) (i32.const 0) (i64.const 2)))
             (i32.store (i32.const 0) (i32.const 8192))
             (i32.store (i32.const 4) (i32.const 100))
             (call $ok (call $fd_read (i32.load (i32.const 16)) (i32.const 0) (i32.const 1) (i32.const 8)))"
        );
        let module = load(&sandbox, &program(&escape));
        let given = sandbox.command(&module).preopen(Preopen::read_write(dir.path(), "/data"));
        assert_ne!(run(given).exit_code, 0, "{at}");
    }
}

/// One function of each kind behind a permission.
const BEHIND: &[(&str, &str, WasixPermission)] = &[
    ("wasix_32v1", "thread_spawn_v2", WasixPermission::Threads),
    ("wasi_snapshot_preview1", "thread-spawn", WasixPermission::Threads),
    ("wasix_32v1", "thread_join", WasixPermission::Threads),
    ("wasix_32v1", "proc_fork", WasixPermission::Processes),
    ("wasix_32v1", "proc_exec3", WasixPermission::Processes),
    ("wasix_32v1", "proc_spawn2", WasixPermission::Processes),
    ("wasix_32v1", "fd_pipe", WasixPermission::Processes),
    ("wasix_32v1", "sock_open", WasixPermission::Sockets),
    ("wasix_32v1", "resolve", WasixPermission::Sockets),
    ("wasix_32v1", "port_dhcp_acquire", WasixPermission::Sockets),
    ("wasi_snapshot_preview1", "sock_accept", WasixPermission::Sockets),
    ("wasix_32v1", "dlopen", WasixPermission::DynamicLoading),
    ("wasix_32v1", "call_dynamic", WasixPermission::DynamicLoading),
];

#[test]
fn what_needs_a_permission_is_refused_by_name_and_the_permission_at_the_start() {
    let sandbox = sandbox(Limits::tool());
    for (module, name, permission) in BEHIND {
        let guest = format!(r#"(module (import "{module}" "{name}" (func)) (func (export "_start")))"#);
        let refused = match sandbox.load(guest.as_bytes()) {
            Err(LoadError::Imports(list)) => list,
            other => panic!("{name}: {other:?}"),
        };
        assert!(matches!(refused[..], [ImportRefusal::Wasix { .. }]), "{name}: {refused:?}");
        let words = refused[0].to_string();
        for part in [&format!("`{module}.{name}`"), &format!("--wasix {permission}")] {
            assert!(words.contains(part), "{words}");
        }
        // A single grant is asking for the permission. Preview 1 is granted as a whole.
        if *module != "wasix_32v1" {
            continue;
        }
        let policy = SecurityPolicy::standard().wasix([]).grants(Grants::wasi().import(module, name));
        let words = Sandbox::builder(wasmer()).policy(policy).build().map(drop).expect_err(name).to_string();
        assert!(words.contains(&format!("`{permission}`")), "{words}");
    }
    for permission in WasixPermission::ALL {
        let policy = SecurityPolicy::standard().wasix([*permission]);
        let words = Sandbox::builder(wasmer()).policy(policy).build().map(drop).expect_err("not given").to_string();
        assert!(words.contains(permission.name()), "{words}");
    }
    let policy = SecurityPolicy::standard().wasix([]).grants(Grants::none().module("wasix_32v1"));
    assert!(Sandbox::builder(wasmer()).policy(policy).build().is_err(), "all of it is more than can be given");
}

#[test]
fn what_is_not_offered_says_why() {
    let sandbox = sandbox(Limits::tool());
    for (module, name, word) in [
        ("wasix_64v1", "fd_write", "wasix_32v1"),
        ("wasix_32v1", "context_switch", "stack"),
        ("wasix_32v1", "stack_checkpoint", "stack"),
        ("wasix_32v1", "epoll_wait", "poll_oneoff"),
        ("wasix_32v1", "tty_set", "terminal"),
        ("wasix_32v1", "no_such_function", "unknown"),
    ] {
        let guest = format!(r#"(module (import "{module}" "{name}" (func)))"#);
        let words = sandbox.load(guest.as_bytes()).map(drop).expect_err(name).to_string();
        assert!(words.contains(&format!("`{module}.{name}`")) && words.contains(word), "{words}");
    }
    // Without WASIX there is none of it.
    let plain = Sandbox::builder(wasmer()).wasi().build().expect("nothing is asked");
    let words = plain.load(program("").as_bytes()).map(drop).expect_err("it is not given").to_string();
    assert!(words.contains("--wasi wasix"), "{words}");
}

#[test]
fn other_engines_and_determinism_are_refused_by_name() {
    for engine in engines::all().into_iter().filter(|engine| engine.descriptor().id != "wasmer-cranelift") {
        let id = engine.descriptor().id;
        let words = Sandbox::builder(engine).wasix().build().map(drop).expect_err(id).to_string();
        assert!(words.contains(id) && words.contains("wasmer-cranelift"), "{words}");
    }
    let policy = SecurityPolicy::standard().wasix([]).determinism(Determinism::Full { seed: 1 });
    let words = Sandbox::builder(wasmer()).policy(policy).build().map(drop).expect_err("it cannot be held").to_string();
    assert!(words.contains("determinism"), "{words}");
}

#[test]
fn an_endless_loop_ends_at_its_fuel_or_its_deadline() {
    for body in ["(loop $l (br $l))", "(loop $l (drop (call $sched_yield)) (br $l))"] {
        let spent = sandbox(Limits { fuel: Fuel::new(3_000_000), ..Limits::tool() });
        let module = load(&spent, &program(body));
        assert_eq!(stopped(spent.command(&module).run()).0, Limit::Fuel, "{body}");
        let late =
            sandbox(Limits { fuel: Fuel::UNLIMITED, timeout: Some(Duration::from_millis(100)), ..Limits::tool() });
        let module = load(&late, &program(body));
        assert_eq!(stopped(late.command(&module).run()).0, Limit::Deadline, "{body}");
    }
}

/// Programs that wait for what never comes.
const WAITING: &[&str] = &[
    "(call $ok (call $thread_sleep (i64.const 3600000000000)))",
    "(call $ok (call $thread_sleep (i64.const -1)))",
    // No timeout, and nobody wakes it.
    "(i32.store8 (i32.const 200) (i32.const 0))
     (call $ok (call $futex_wait (i32.const 300) (i32.const 0) (i32.const 200) (i32.const 400)))",
    // A clock (tag 0, monotonic, an hour).
    "(i32.store (i32.const 528) (i32.const 1))
     (i64.store (i32.const 536) (i64.const 3600000000000))
     (call $ok (call $poll_oneoff (i32.const 512) (i32.const 704) (i32.const 1) (i32.const 800)))",
];

#[test]
fn waiting_ends_at_the_deadline_and_when_it_is_cancelled() {
    let limits = Limits { timeout: Some(Duration::from_millis(150)), ..Limits::tool() };
    let sandbox_of_late = sandbox(limits);
    for body in WAITING {
        let module = load(&sandbox_of_late, &program(body));
        assert_eq!(stopped(sandbox_of_late.command(&module).run()).0, Limit::Deadline, "{body}");
        let patient = sandbox(Limits { timeout: None, ..Limits::tool() });
        let module = load(&patient, &program(body));
        let cancel = CancelHandle::new();
        let command = patient.command(&module).cancel(&cancel);
        let ended = std::thread::scope(|scope| {
            let running = scope.spawn(|| command.run());
            std::thread::sleep(Duration::from_millis(50));
            cancel.cancel();
            running.join().expect("it does not panic")
        });
        assert_eq!(stopped(ended).0, Limit::Cancelled, "{body}");
    }
}

#[test]
fn a_short_sleep_is_slept_and_no_longer() {
    let sandbox = sandbox(Limits::tool());
    let module = load(&sandbox, &program("(call $ok (call $thread_sleep (i64.const 30000000)))"));
    let began = Instant::now();
    assert_eq!(run(sandbox.command(&module)).exit_code, 0);
    assert!(began.elapsed() >= Duration::from_millis(30));
}

#[test]
fn memory_and_output_stop_at_their_caps() {
    let small = sandbox(Limits { memory: MemoryBytes::mib(1), ..Limits::tool() });
    let module = load(
        &small,
        &program(
            "(loop $grow (br_if $grow (i32.ge_s (memory.grow (i32.const 1)) (i32.const 0))))
             (call $proc_exit (memory.size))",
        ),
    );
    let output = run(small.command(&module));
    assert_eq!((output.exit_code, output.receipt.peak_memory_bytes), (16, 1 << 20));

    let quiet = sandbox(Limits { output: MemoryBytes::kib(100), ..Limits::tool() });
    for fd in [1, 2] {
        let flood = format!("(loop $l (drop (call $write (i32.const {fd}) (i32.const 0) (i32.const 30000))) (br $l))");
        let module = load(&quiet, &program(&flood));
        let (limit, stdout) = stopped(quiet.command(&module).run());
        assert_eq!(limit, Limit::Output);
        assert_eq!(stdout.len(), if fd == 1 { 100 << 10 } else { 0 });
    }
}

#[test]
fn descriptors_stop_at_their_cap() {
    let sandbox = sandbox(Limits { open_files: 20, ..Limits::tool() });
    let module = load(
        &sandbox,
        &program(
            "(loop $l (i32.store (i32.const 32) (call $fd_dup (i32.const 1) (i32.const 16)))
               (br_if $l (i32.eqz (i32.load (i32.const 32)))))
             (if (i32.ge_u (i32.load (i32.const 16)) (i32.const 20)) (then (unreachable)))
             (call $proc_exit (i32.load (i32.const 32)))",
        ),
    );
    assert_eq!(run(sandbox.command(&module)).exit_code, 33, "EMFILE");
}

/// Runs `body` 200 times with a directory as descriptor 4, and ends with the first error number. `$a` and `$b` are
/// for the body's own use.
fn repeated(module: &str, body: &str) -> u32 {
    let dir = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(dir.path().join("in.txt"), "from the host\n").expect("it can be written");
    let sandbox = sandbox(Limits { open_files: 20, ..Limits::tool() });
    let guest = format!(
        r#"(module
          (import "{module}" "path_open" (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
          (import "{module}" "fd_close" (func $fd_close (param i32) (result i32)))
          (import "{module}" "fd_renumber" (func $fd_renumber (param i32 i32) (result i32)))
          (import "{module}" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
          (import "{module}" "fd_fdstat_set_rights" (func $set_rights (param i32 i64 i64) (result i32)))
          (import "{module}" "proc_exit" (func $proc_exit (param i32)))
          (memory (export "memory") 1)
          (data (i32.const 64) ".") (data (i32.const 72) "in.txt")
          (func $ok (param $errno i32) (if (local.get $errno) (then (call $proc_exit (local.get $errno)))))
          (func $dir (result i32)
            (call $ok (call $path_open (i32.const 4) (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 2)
              (i64.const 0x4000) (i64.const 2) (i32.const 0) (i32.const 16)))
            (i32.load (i32.const 16)))
          (func $file (result i32)
            (call $ok (call $path_open (i32.const 4) (i32.const 0) (i32.const 72) (i32.const 6) (i32.const 0)
              (i64.const 2) (i64.const 2) (i32.const 0) (i32.const 16)))
            (i32.load (i32.const 16)))
          (func (export "_start")
            (local $a i32) (local $b i32) (local $left i32)
            (local.set $left (i32.const 200))
            (local.set $a (call $file))
            (loop $again
              {body}
              (local.set $left (i32.sub (local.get $left) (i32.const 1)))
              (br_if $again (local.get $left)))))"#
    );
    let module = load(&sandbox, &guest);
    run(sandbox.command(&module).preopen(Preopen::read_write(dir.path(), "/data"))).exit_code
}

#[test]
fn descriptors_that_only_seem_closed_count_or_are_used_again() {
    const EMFILE: u32 = 33;
    for module in ["wasix_32v1", "wasi_snapshot_preview1"] {
        assert_eq!(repeated(module, "(drop (call $dir))"), EMFILE, "{module}");
        assert_eq!(repeated(module, "(drop (call $file))"), EMFILE, "{module}");
        assert_eq!(repeated(module, "(call $ok (call $fd_close (call $file)))"), 0, "{module}");
        // wasmer-wasix says that it closed them, and closes none.
        assert_eq!(repeated(module, "(call $ok (call $fd_close (call $dir)))"), 0, "{module}");
        let two = "(local.set $a (call $dir)) (local.set $b (call $dir))
            (if (i32.eq (local.get $a) (local.get $b)) (then (unreachable)))
            (call $ok (call $fd_close (local.get $a))) (call $ok (call $fd_close (local.get $b)))";
        assert_eq!(repeated(module, two), 0, "{module}");
        // One that has lost rights is not given again.
        let changed =
            "(local.set $b (call $dir)) (call $ok (call $set_rights (local.get $b) (i64.const 0) (i64.const 0)))
            (call $ok (call $fd_close (local.get $b)))";
        assert_eq!(repeated(module, changed), EMFILE, "{module}");
    }
    // WASIX duplicates when it renumbers; preview 1 moves.
    let moved = "(call $ok (call $fd_renumber (call $file) (local.get $a)))";
    assert_eq!(repeated("wasix_32v1", moved), EMFILE);
    assert_eq!(repeated("wasi_snapshot_preview1", moved), 0);
    let closed = "(local.set $b (call $file)) (call $ok (call $fd_renumber (local.get $b) (local.get $a)))
        (i32.store (i32.const 0) (i32.const 128)) (i32.store (i32.const 4) (i32.const 1))
        (call $ok (call $fd_read (local.get $a) (i32.const 0) (i32.const 1) (i32.const 8)))
        (if (i32.ne (call $fd_close (local.get $b)) (i32.const 8)) (then (unreachable)))
        (if (i32.ne (call $fd_renumber (local.get $a) (local.get $b)) (i32.const 8)) (then (unreachable)))";
    assert_eq!(repeated("wasi_snapshot_preview1", closed), 0);
}

#[test]
fn a_program_is_told_that_it_has_one_processor() {
    let sandbox = sandbox(Limits::tool());
    let body = "(call $ok (call $thread_parallelism (i32.const 16))) (call $proc_exit (i32.load (i32.const 16)))";
    assert_eq!(run(sandbox.command(&load(&sandbox, &program(body)))).exit_code, 1);
}

fn cofferdam(args: &[&str], module: &str) -> std::process::Output {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("guest.wat");
    std::fs::write(&file, module).expect("it can be written");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_cofferdam"));
    command.arg("run").args(args).arg(&file).stdin(std::process::Stdio::null());
    command.env("COFFERDAM_CACHE_DIR", dir.path().join("cache")).output().expect("the command starts")
}

#[test]
fn the_command_knows_a_wasix_program_by_its_imports() {
    let hello = program("(call $ok (call $write (i32.const 1) (i32.const 1024) (i32.const 17)))");
    let said = |output: &std::process::Output| String::from_utf8_lossy(&output.stderr).into_owned();
    for args in [&[][..], &["--wasi", "wasix"]] {
        let output = cofferdam(args, &hello);
        assert_eq!((output.status.code(), &*output.stdout), (Some(0), &b"hello from WASIX\n"[..]), "{}", said(&output));
    }
    let plain = cofferdam(&["--wasi", "preview1"], &hello);
    assert!(plain.status.code() == Some(120) && said(&plain).contains("--wasi wasix"), "{}", said(&plain));
    let threads = cofferdam(&["--wasix", "threads"], &hello);
    assert!(threads.status.code() == Some(2) && said(&threads).contains("`threads`"), "{}", said(&threads));
    let both = cofferdam(&["--wasi", "preview1", "--wasix", "threads"], &hello);
    assert!(both.status.code() == Some(2) && said(&both).contains("contradict"), "{}", said(&both));
    let spawns = r#"(module (import "wasix_32v1" "thread_spawn_v2" (func (param i32 i32) (result i32)))
        (memory (export "memory") 1) (func (export "_start")))"#;
    let refused = cofferdam(&[], spawns);
    assert!(refused.status.code() == Some(120) && said(&refused).contains("--wasix threads"), "{}", said(&refused));
    if engines::names().contains(&"wasmi") {
        let wasmi = cofferdam(&["--engine", "wasmi"], &hello);
        let words = said(&wasmi);
        assert!(
            wasmi.status.code() == Some(2) && words.contains("wasmi") && words.contains("wasmer-cranelift"),
            "{words}"
        );
    }
}
