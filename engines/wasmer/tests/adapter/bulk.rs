//! Bulk operators on memories, which are done in parts when they are long: the same bytes as in one go, and
//! an end on the way when the call must end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use cofferdam_engine::{
    CallBudget, CancelHandle, Extern, FuelMode, Import, Imports, Limit, MemoryHandle, MemoryType, Scheduler, Stop,
    StoreLimits, TrapKind, Value,
};

use crate::common::{Guest, MODES, PLENTY, compiled, i32s, store_with};

/// As long as what is done in one go.
const PART: u32 = 256 << 10;
const PAGES: u32 = 20;
const SIZE: u32 = PAGES << 16;
/// Three parts, and still paid for by the first slice, so that no tick comes before.
const LONG: u32 = 2 * PART + 5;

/// Bytes without a pattern that a mistake could hide in.
fn noise(seed: u32, len: u32) -> Vec<u8> {
    let mut state = seed;
    let step = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..len).map(step).collect()
}

/// Letters, to be written in a module's text.
fn letters(len: u32) -> String {
    noise(1, len).into_iter().map(|b| char::from(b'a' + b % 26)).collect()
}

struct Bulk {
    guest: Guest,
    memory: MemoryHandle,
    mode: FuelMode,
}

impl Bulk {
    /// With a memory of its own or an imported one, and a segment of [`LONG`] bytes.
    fn new(mode: FuelMode, imported: bool) -> Self {
        let memory = if imported { r#"(import "m" "m" (memory 20))"# } else { r#"(memory (export "m") 20)"# };
        let wat = format!(
            r#"(module {memory} (data $d "{}")
            (func (export "fill") (param i32 i32 i32) (memory.fill (local.get 0) (local.get 1) (local.get 2)))
            (func (export "copy") (param i32 i32 i32) (memory.copy (local.get 0) (local.get 1) (local.get 2)))
            (func (export "init") (param i32 i32 i32) (memory.init $d (local.get 0) (local.get 1) (local.get 2)))
            (func (export "drop") (data.drop $d)))"#,
            letters(LONG)
        );
        let mut store = store_with(StoreLimits { memory_bytes: u64::from(SIZE), ..StoreLimits::default() });
        let mut imports = Imports::new();
        let minimum = u64::from(PAGES);
        let made = imported.then(|| {
            let ty = MemoryType { minimum, maximum: None, shared: false, memory64: false, page_size_log2: 16 };
            store.new_memory(ty).expect("it fits")
        });
        if let Some(memory) = made {
            imports.define("m", "m", Import::Extern(Extern::Memory(memory)));
        }
        let instance = store.instantiate(&*compiled(&wat, mode), &imports).expect("it links");
        let memory = made.unwrap_or_else(|| match store.export(instance, "m") {
            Some(Extern::Memory(memory)) => memory,
            other => panic!("the memory is {other:?}"),
        });
        Self { guest: Guest { store, instance, consumed: 0 }, memory, mode }
    }

    fn all() -> impl Iterator<Item = Self> {
        MODES.into_iter().flat_map(|mode| [false, true].map(|imported| Self::new(mode, imported)))
    }

    fn write(&mut self, bytes: &[u8]) {
        self.guest.store.memory_write(self.memory, 0, bytes).expect("it fits");
    }

    fn read(&self) -> Vec<u8> {
        let mut bytes = vec![0; SIZE as usize];
        self.guest.store.memory_read(self.memory, 0, &mut bytes).expect("it is there");
        bytes
    }

    /// `name` with `args` makes of `before` what `expect` does.
    fn agrees(&mut self, name: &str, args: [u32; 3], before: &[u8], expect: impl FnOnce(&mut [u8])) {
        self.write(before);
        self.guest.call(name, &unsigned(args)).unwrap_or_else(|e| panic!("{name} {args:?}, {}: {e}", self.mode));
        let mut after = before.to_vec();
        expect(&mut after);
        assert!(self.read() == after, "{name} {args:?}, {}", self.mode);
    }
}

fn unsigned(args: [u32; 3]) -> Vec<Value> {
    i32s(&args.map(u32::cast_signed))
}

fn range(start: u32, len: u32) -> std::ops::Range<usize> {
    start as usize..(start + len) as usize
}

const LENGTHS: [u32; 7] = [0, PART - 1, PART, PART + 1, 2 * PART, 2 * PART + 3, 3 * PART + 17];

#[test]
fn a_fill_in_parts_is_one_fill() {
    let before = noise(2, SIZE);
    for mut bulk in Bulk::all() {
        for len in LENGTHS {
            for to in [0, 7, SIZE - len] {
                bulk.agrees("fill", [to, 0x1a5, len], &before, |m| m[range(to, len)].fill(0xa5));
            }
        }
    }
}

#[test]
fn a_copy_in_parts_is_one_move_however_it_overlaps() {
    let before = noise(3, SIZE);
    for mut bulk in Bulk::all() {
        for len in LENGTHS {
            for apart in [0, 1, PART - 1, PART, PART + 1, 333_333] {
                for low in [7, SIZE - len - apart] {
                    for (to, from) in [(low, low + apart), (low + apart, low)] {
                        bulk.agrees("copy", [to, from, len], &before, |m| {
                            m.copy_within(range(from, len), to as usize);
                        });
                    }
                }
            }
        }
    }
}

#[test]
fn an_init_in_parts_is_one_init() {
    let before = noise(4, SIZE);
    let segment = letters(LONG).into_bytes();
    for mut bulk in Bulk::all() {
        for (to, from, len) in
            [(0, 0, LONG), (SIZE - LONG, 0, LONG), (9, 5, LONG - 5), (3, 4, PART), (1, 4, PART + 1), (8, 4, PART + 1)]
        {
            bulk.agrees("init", [to, from, len], &before, |m| {
                m[range(to, len)].copy_from_slice(&segment[range(from, len)]);
            });
        }
    }
}

#[test]
fn copies_between_memories_take_the_right_ones() {
    let wat = r#"(module (memory $a (export "a") 20) (memory $b (export "b") 20)
        (func (export "copy") (param i32 i32 i32) (memory.copy $b $a (local.get 0) (local.get 1) (local.get 2)))
        (func (export "fill") (param i32 i32 i32) (memory.fill $b (local.get 0) (local.get 1) (local.get 2))))"#;
    for mode in MODES {
        let mut guest = Guest::new(wat, mode);
        let [a, b] = ["a", "b"].map(|name| match guest.store.export(guest.instance, name) {
            Some(Extern::Memory(memory)) => memory,
            other => panic!("the memory is {other:?}"),
        });
        let source = noise(5, SIZE);
        let mut expected = noise(6, SIZE);
        guest.store.memory_write(a, 0, &source).expect("it fits");
        guest.store.memory_write(b, 0, &expected).expect("it fits");
        for (to, from) in [(100, 3), (3, 100)] {
            guest.call("copy", &unsigned([to, from, LONG])).expect("it returns");
            expected[range(to, LONG)].copy_from_slice(&source[range(from, LONG)]);
        }
        guest.call("fill", &unsigned([SIZE - PART - 1, 9, PART + 1])).expect("it returns");
        expected[range(SIZE - PART - 1, PART + 1)].fill(9);
        for (memory, expected) in [(a, &source), (b, &expected)] {
            let mut bytes = vec![0; SIZE as usize];
            guest.store.memory_read(memory, 0, &mut bytes).expect("it is there");
            assert!(bytes == *expected, "{mode}");
        }
    }
}

#[test]
fn what_does_not_fit_is_not_begun() {
    let before = noise(7, SIZE);
    let cases: &[(&str, [u32; 3])] = &[
        ("fill", [1, 5, SIZE]),
        ("fill", [SIZE - LONG + 1, 5, LONG]),
        ("fill", [SIZE + 1, 5, LONG]),
        ("fill", [5, 5, u32::MAX]),
        ("fill", [u32::MAX, 5, LONG]),
        ("copy", [SIZE - LONG + 1, 0, LONG]),
        ("copy", [0, SIZE - LONG + 1, LONG]),
        ("copy", [5, 0, u32::MAX]),
        ("copy", [0, u32::MAX, LONG]),
        ("copy", [u32::MAX, 0, LONG]),
        ("init", [0, 1, LONG]),
        ("init", [0, 0, LONG + 1]),
        ("init", [SIZE - LONG + 1, 0, LONG]),
        ("init", [0, u32::MAX, LONG]),
        ("init", [u32::MAX, 0, LONG]),
    ];
    let refused = |bulk: &mut Bulk, name: &str, args: [u32; 3]| {
        let stop = bulk.guest.call(name, &unsigned(args)).expect_err("it does not fit");
        let Stop::Trap(trap) = &stop else { panic!("{name} {args:?}, {}: {stop}", bulk.mode) };
        assert_eq!((trap.kind, trap.frames.len()), (TrapKind::MemoryOutOfBounds, 1), "{name} {args:?}");
        assert!(bulk.read() == before, "{name} {args:?}, {}", bulk.mode);
    };
    for mut bulk in Bulk::all() {
        bulk.write(&before);
        for (name, args) in cases {
            refused(&mut bulk, name, *args);
        }
        bulk.guest.call("drop", &[]).expect("it returns");
        refused(&mut bulk, "init", [0, 0, LONG]);
    }
}

/// Budgets of calls that must end at the first look, with the limit that ends them.
fn over() -> [(CallBudget, Limit); 2] {
    let cancel = CancelHandle::new();
    cancel.cancel();
    let cancelled = CallBudget { cancel: Some(cancel), ..CallBudget::of_fuel(PLENTY) };
    let late = CallBudget { timeout: Some(Duration::ZERO), ..CallBudget::of_fuel(PLENTY) };
    [(cancelled, Limit::Cancelled), (late, Limit::Deadline)]
}

#[test]
fn a_call_ends_on_the_way_with_the_fuel_of_the_whole() {
    let before = noise(8, SIZE);
    let segment = letters(LONG).into_bytes();
    // What is done when the first look comes.
    let fill = |m: &mut [u8]| m[range(7, PART)].fill(5);
    let down = |m: &mut [u8]| m.copy_within(range(100, PART), 7);
    // From the end: the last part is the one that is not whole.
    let up = |m: &mut [u8]| m.copy_within(range(7 + 2 * PART, 5), (100 + 2 * PART) as usize);
    let init = |m: &mut [u8]| m[range(0, PART)].copy_from_slice(&segment[range(0, PART)]);
    type Done<'a> = &'a dyn Fn(&mut [u8]);
    let cases: [(&str, [u32; 3], Done<'_>); 4] = [
        ("fill", [7, 5, LONG], &fill),
        ("copy", [7, 100, LONG], &down),
        ("copy", [100, 7, LONG], &up),
        ("init", [0, 0, LONG], &init),
    ];
    for (name, args, done) in cases {
        for (mut budget, expected) in over() {
            // New ones for each call: slices become shorter when a part took long.
            for (mut one, mut bulk) in Bulk::all().zip(Bulk::all()) {
                one.guest.call(name, &unsigned(args)).expect("it returns");
                let whole = one.guest.consumed;
                bulk.write(&before);
                let stop = bulk.guest.call_with(name, &unsigned(args), &mut budget).expect_err("it must end");
                let Stop::Limit { limit, frames } = &stop else { panic!("{name}, {}: {stop}", bulk.mode) };
                assert_eq!((*limit, frames.len()), (expected, 1), "{name}, {}", bulk.mode);
                match bulk.mode {
                    FuelMode::Portable => assert_eq!(budget.consumed, whole, "{name}"),
                    // The operators in front are charged when the block ends, the length before.
                    FuelMode::Native => {
                        let length = u64::from(LONG / 8);
                        assert!((length..=whole).contains(&budget.consumed), "{name}: {} of {whole}", budget.consumed);
                    }
                }
                let mut after = before.clone();
                done(&mut after);
                assert!(bulk.read() == after, "{name}, {}: it ends after the first part", bulk.mode);
            }
        }
    }
}

#[test]
fn what_is_done_in_one_go_ends_as_ever() {
    for mut bulk in Bulk::all() {
        for (mut budget, _) in over() {
            bulk.guest.call_with("fill", &unsigned([0, 1, PART]), &mut budget).expect("nothing looks");
        }
    }
}

const HUGE: &str = r#"(module (memory (export "m") 6144)
    (func (export "fill") (memory.fill (i32.const 0) (i32.const 1) (i32.const 0x18000000)))
    (func (export "copy") (memory.copy (i32.const 1) (i32.const 0) (i32.const 0x17ffffff))))"#;

fn huge(mode: FuelMode) -> Guest {
    Guest::limited(HUGE, mode, StoreLimits { memory_bytes: 512 << 20, ..StoreLimits::default() })
}

#[test]
fn a_huge_fill_and_a_huge_copy_end() {
    for mode in MODES {
        let mut guest = huge(mode);
        let Some(Extern::Memory(memory)) = guest.store.export(guest.instance, "m") else { panic!("it is a memory") };
        for (mut budget, expected) in over() {
            for name in ["fill", "copy"] {
                guest.store.memory_write(memory, 0, &[3]).expect("it is there");
                let stop = guest.call_with(name, &[], &mut budget).expect_err("it must end");
                assert!(matches!(&stop, Stop::Limit { limit, .. } if *limit == expected), "{name}, {mode}: {stop}");
            }
            // The fill's last byte, and the copy's first, which it comes to last.
            for at in [0x17ff_ffff, 1] {
                let mut byte = [9];
                guest.store.memory_read(memory, at, &mut byte).expect("it is there");
                assert_ne!(byte, [if at == 1 { 3 } else { 1 }], "{mode}: not all was written");
            }
        }
    }
}

/// Counts turns, and panics at the one of this number.
struct Turns(AtomicU32, u32);

impl Scheduler for Turns {
    fn turn(&self) {
        assert_ne!(self.0.fetch_add(1, Ordering::Relaxed) + 1, self.1, "as the test wants it");
    }
    fn away(&self, wait: &mut dyn FnMut()) {
        wait();
    }
}

#[test]
fn others_get_turns_during_a_huge_fill() {
    for mode in MODES {
        // Touching this much memory takes far longer than a turn; the tick in front gives one at most.
        let turns = Arc::new(Turns(AtomicU32::new(0), u32::MAX));
        let mut budget = CallBudget { scheduler: Some(turns.clone()), ..CallBudget::of_fuel(PLENTY) };
        huge(mode).call_with("fill", &[], &mut budget).expect("it returns");
        assert!(turns.0.load(Ordering::Relaxed) > 2, "{mode}");

        let broken = Arc::new(Turns(AtomicU32::new(0), 3));
        let mut budget = CallBudget { scheduler: Some(broken), ..CallBudget::of_fuel(PLENTY) };
        let stop = huge(mode).call_with("fill", &[], &mut budget).expect_err("the scheduler panics");
        assert!(matches!(stop, Stop::Host(_)), "{mode}: {stop}");
    }
}
