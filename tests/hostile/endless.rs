//! Guests that never end by themselves.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use cofferdam::host::wasi::{Clocks, Output, Random, Stdin, WasiConfig};
use cofferdam::policy::{Fuel, Limits, MemoryBytes};
use cofferdam::{CancelHandle, sandbox::CallOptions};

use super::support::{closed_wasi, hostile, tight};
use super::{cells, little_fuel, short_time};

const ENDLESS: &[(&str, &[&str])] = &[
    ("loop_forever.wat", &["run", "run_store", "run_call", "run_nested", "run_br_table"]),
    ("loop_sched_yield.wat", &["run"]),
    ("loop_clock.wat", &["run", "run_realtime"]),
    ("loop_random.wat", &["run"]),
    ("start_loop.wat", &["run"]),
    ("memory_grow_loop.wat", &["run"]),
    ("memory_bulk_loop.wat", &["run_fill", "run_copy", "run_copy_overlapping"]),
    ("table_bulk.wat", &["run_fill", "run_copy", "run_grow"]),
];

#[test]
fn an_endless_guest_is_stopped_by_its_budget() {
    for cell in cells() {
        for (file, exports) in ENDLESS {
            for export in *exports {
                cell.ends(file, export, little_fuel(), "fuel");
            }
        }
    }
}

#[test]
fn an_endless_guest_is_stopped_by_its_deadline() {
    for cell in cells() {
        for (file, exports) in ENDLESS {
            for export in *exports {
                cell.ends(file, export, short_time(), "deadline");
            }
        }
    }
}

#[test]
fn an_endless_guest_is_stopped_from_outside() {
    let limits = Limits { timeout: None, ..tight() };
    for cell in cells() {
        for (file, exports) in ENDLESS {
            let mut guest = cell.guest(&hostile(file), limits.clone(), closed_wasi());
            let cancel = CancelHandle::new();
            let options = CallOptions { cancel: Some(cancel.clone()), ..CallOptions::default() };
            let report = std::thread::scope(|scope| {
                let call = scope.spawn(|| guest.call_with(exports[0], &[], &options));
                cancel.cancel();
                call.join().expect("it does not panic")
            });
            assert_eq!(report.outcome.reason(), Some("cancelled"), "{cell} {file}");
        }
    }
}

#[test]
fn host_calls_are_counted_and_capped() {
    let limits = Limits { host_calls: 100, ..little_fuel() };
    for cell in cells() {
        let (guest, report) = cell.call("loop_sched_yield.wat", "run", &[], limits.clone());
        assert_eq!(report.outcome.reason(), Some("host_calls"), "{cell}");
        assert_eq!(guest.usage().host_calls, 101, "{cell}: the one that was refused is counted too");
    }
}

#[test]
fn a_virtual_clock_does_not_help_a_guest_that_waits_for_never() {
    for cell in cells() {
        let wasi = WasiConfig { clocks: Clocks::Virtual { start_ns: 0 }, random: Random::Seeded(1), ..closed_wasi() };
        let mut guest = cell.guest(&hostile("loop_clock.wat"), little_fuel(), wasi);
        assert_eq!(guest.call("run", &[]).outcome.reason(), Some("fuel"), "{cell}");
    }
}

#[test]
fn captured_output_stops_at_exactly_the_cap() {
    let limits = Limits { output: MemoryBytes::new(100_000), ..tight() };
    for cell in cells() {
        for export in ["run", "run_stderr", "run_lines"] {
            // The policy's cap alone: the configuration of WASI would allow more.
            let mut guest = cell.guest(&hostile("stdout_flood.wat"), limits.clone(), closed_wasi());
            let report = guest.call(export, &[]);
            assert_eq!(report.outcome.reason(), Some("output"), "{cell} {export}: {}", report.outcome);
            let wasi = guest.state().and_then(|s| s.wasi.as_ref()).expect("it was given");
            assert_eq!(wasi.stdout_bytes().len() + wasi.stderr_bytes().len(), 100_000, "{cell} {export}");
        }
    }
}

/// Both ends of a pipe-like stream as files.
fn stream() -> (std::fs::File, UnixStream) {
    let (guest, test) = UnixStream::pair().expect("a pair of sockets");
    (std::fs::File::from(std::os::fd::OwnedFd::from(guest)), test)
}

#[test]
fn output_that_nobody_reads_ends_at_the_deadline() {
    for cell in cells() {
        for export in ["run", "run_stderr", "run_lines"] {
            let (out, _nobody_reads) = stream();
            let out = Output::File(Arc::new(out));
            let wasi = WasiConfig { stdout: out.clone(), stderr: out, ..closed_wasi() };
            let mut guest = cell.guest(&hostile("stdout_flood.wat"), short_time(), wasi);
            assert_eq!(guest.call(export, &[]).outcome.reason(), Some("deadline"), "{cell} {export}");
        }
    }
}

#[test]
fn a_silent_input_ends_at_the_deadline_and_an_endless_one_by_any_limit() {
    for cell in cells() {
        for (file, export) in [("stdin_forever.wat", "run"), ("poll_abuse.wat", "run_stdin")] {
            let (input, _silent) = stream();
            let wasi = WasiConfig { stdin: Stdin::File(input), ..closed_wasi() };
            let mut guest = cell.guest(&hostile(file), short_time(), wasi);
            assert_eq!(guest.call(export, &[]).outcome.reason(), Some("deadline"), "{cell} {file}");
        }
        let zeros = std::fs::File::open("/dev/zero").expect("it is there");
        let wasi = WasiConfig { stdin: Stdin::File(zeros), ..closed_wasi() };
        let mut guest = cell.guest(&hostile("stdin_forever.wat"), little_fuel(), wasi);
        assert_eq!(guest.call("run", &[]).outcome.reason(), Some("fuel"), "{cell}");
        let wasi = WasiConfig { stdin: Stdin::Bytes(vec![7; 12_345]), ..closed_wasi() };
        let mut guest = cell.guest(&hostile("stdin_forever.wat"), tight(), wasi);
        assert_eq!(super::number(&guest.call("run", &[]).outcome), Some(12_345), "{cell}");
    }
}

#[test]
fn a_guest_that_waits_for_input_can_be_cancelled_and_wakes_for_it() {
    for cell in cells() {
        let limits = Limits { timeout: None, ..tight() };
        let (input, _silent) = stream();
        let wasi = WasiConfig { stdin: Stdin::File(input), ..closed_wasi() };
        let mut guest = cell.guest(&hostile("stdin_forever.wat"), limits.clone(), wasi);
        let cancel = CancelHandle::new();
        let options = CallOptions { cancel: Some(cancel.clone()), ..CallOptions::default() };
        let report = std::thread::scope(|scope| {
            let call = scope.spawn(|| guest.call_with("run", &[], &options));
            cancel.cancel();
            call.join().expect("it does not panic")
        });
        assert_eq!(report.outcome.reason(), Some("cancelled"), "{cell}");

        let (input, mut writer) = stream();
        let wasi = WasiConfig { stdin: Stdin::File(input), ..closed_wasi() };
        let mut guest = cell.guest(&hostile("stdin_forever.wat"), limits, wasi);
        let report = std::thread::scope(|scope| {
            let call = scope.spawn(|| guest.call("run", &[]));
            writer.write_all(b"late but there").expect("it is read");
            drop(writer);
            call.join().expect("it does not panic")
        });
        assert_eq!(super::number(&report.outcome), Some(14), "{cell}: {}", report.outcome);
    }
}

#[test]
fn streamed_output_reaches_its_reader() {
    for cell in cells() {
        let (out, mut reader) = stream();
        let mut wasi = WasiConfig { stdout: Output::File(Arc::new(out)), ..closed_wasi() };
        wasi.limits.output_bytes = 300_000;
        let mut guest = cell.guest(&hostile("stdout_flood.wat"), Limits { timeout: None, ..tight() }, wasi);
        let (report, read) = std::thread::scope(|scope| {
            let call = scope.spawn(move || guest.call("run", &[]));
            let mut all = Vec::new();
            reader.read_to_end(&mut all).expect("it can be read");
            (call.join().expect("it does not panic"), all)
        });
        assert_eq!((report.outcome.reason(), read.len()), (Some("output"), 300_000), "{cell}");
    }
}

#[test]
fn sleeping_does_not_outlast_the_deadline() {
    for cell in cells() {
        for export in ["run", "run_absolute", "run_max", "run_loop"] {
            cell.ends("sleep_hour.wat", export, short_time(), "deadline");
        }
        let patient = Limits { timeout: Some(Duration::from_secs(60)), fuel: Fuel::new(1_000_000), ..tight() };
        assert_eq!(cell.returns("sleep_hour.wat", "short", patient), 0);
        for export in ["poll_none", "poll_many", "poll_overflow"] {
            assert_ne!(cell.returns("poll_abuse.wat", export, short_time()), 0, "{cell} {export}");
        }
    }
}
