//! Native fuel: Wasmtime's own meter with our price list, and the epochs that bring deadlines, cancellation
//! and turns for others.
//!
//! Wasmtime counts operators. What it cannot count, the lengths of bulk operators and functions with many
//! locals, `prepare` charges to the store's own counter, with the stack budget beside it; see
//! [`cofferdam_prepare::Assist`]. The two counters are one budget; see [`Pots`].

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, Thread};
use std::time::Duration;

use cofferdam_prepare::metering;
use parking_lot::Mutex;
use wasmtime::{Engine, OperatorCost};

macro_rules! fill_prices {
    ($(@$proposal:ident $op:ident $({ $($arg:ident: $argty:ty),* })? => $visit:ident ($($ann:tt)*) )*) => {
        /// Our price list in Wasmtime's form. Prices that do not fit its bytes are cut: those of `memory.grow`
        /// and `table.grow` by one.
        pub(crate) fn prices() -> OperatorCost {
            let mut prices = OperatorCost::new();
            $(prices.$op = byte(metering::price_of_name(stringify!($op)));)*
            // Lengths are charged by `prepare`: Wasmtime's finest grain, one unit a byte, is too coarse.
            prices.variable.memory_copy_per_byte = 0;
            prices.variable.memory_fill_per_byte = 0;
            prices.variable.memory_init_per_byte = 0;
            prices.variable.memory_grow_per_page = 0;
            prices.variable.table_copy_per_element = 0;
            prices.variable.table_fill_per_element = 0;
            prices.variable.table_init_per_element = 0;
            prices.variable.table_grow_per_element = 0;
            prices
        }

        #[cfg(test)]
        const OPERATORS: &[&str] = &[$(stringify!($op),)*];
    };
}
wasmtime::wasmparser::for_each_operator!(fill_prices);

fn byte(price: Option<u64>) -> u8 {
    u8::try_from(price.unwrap_or(1)).unwrap_or(u8::MAX)
}

/// What the store's own counter holds on credit at the start of a call and after each tick. A guest can be
/// this much past its budget before it is stopped; what it consumed is known exactly all the same.
pub(crate) const CREDIT: i64 = 10_000;

/// The budget of a native call lies in two pots: Wasmtime's, which operators are paid from, and the store's
/// counter, which lengths, entries and host calls are paid from. The counter holds [`CREDIT`] that Wasmtime's
/// pot has to answer for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pots {
    /// Fuel in Wasmtime's pot. Wasmtime stops when its pot is empty, also if nothing more is to be paid, so
    /// it is told one more than there is.
    pub operators: u64,
    /// The store's counter.
    pub counter: i64,
}

impl Pots {
    /// Both pots for `left` fuel, with at least `need` in the counter.
    pub fn fill(left: i64, need: i64) -> Self {
        let operators = left.saturating_sub(need).max(0).cast_unsigned() + 1;
        Self { operators, counter: CREDIT.saturating_add(need) }
    }

    /// Fuel left in both. Negative when more was charged than there was.
    pub fn left(self) -> i64 {
        let operators = match self.operators.checked_sub(1) {
            Some(operators) => i64::try_from(operators).unwrap_or(i64::MAX),
            // Wasmtime does not say how far past the end it is; the one more is gone in any case.
            None => -1,
        };
        operators.saturating_add(self.counter - CREDIT)
    }
}

/// Time between epochs: a slice.
const EPOCH: Duration = Duration::from_millis(1);

/// Moves the epochs of every native engine on while calls run.
#[derive(Default)]
struct Clock {
    engines: Mutex<Vec<Engine>>,
    running: AtomicUsize,
    thread: OnceLock<Thread>,
    /// Held while the thread is started, so that there is one.
    starting: Mutex<()>,
}

impl Clock {
    /// The clock's thread. If it cannot be started, the next call tries again.
    fn thread(&self) -> Option<&Thread> {
        let _starting = match self.thread.get() {
            Some(thread) => return Some(thread),
            None => self.starting.lock(),
        };
        if self.thread.get().is_none() {
            let named = thread::Builder::new().name("cofferdam-epochs".into());
            let made = named.spawn(|| tick(CLOCK.get_or_init(Self::default))).ok()?;
            return Some(self.thread.get_or_init(|| made.thread().clone()));
        }
        self.thread.get()
    }
}

static CLOCK: OnceLock<Clock> = OnceLock::new();

/// A call is under way, until dropped.
pub(crate) struct Ticking(());

impl Ticking {
    /// Starts the clock if it stands still. `None` if the machine could not start the clock's thread.
    pub fn begin() -> Option<Self> {
        let clock = CLOCK.get_or_init(Clock::default);
        let thread = clock.thread()?;
        if clock.running.fetch_add(1, Ordering::AcqRel) == 0 {
            thread.unpark();
        }
        Some(Self(()))
    }
}

impl Drop for Ticking {
    fn drop(&mut self) {
        if let Some(clock) = CLOCK.get() {
            clock.running.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

fn tick(clock: &Clock) {
    loop {
        if clock.running.load(Ordering::Acquire) == 0 {
            // A call that begins from here on leaves an unpark token.
            thread::park();
            continue;
        }
        thread::sleep(EPOCH);
        for engine in clock.engines.lock().iter() {
            engine.increment_epoch();
        }
    }
}

/// Has the clock move the epochs of `engine`, from now on for good.
pub(crate) fn watch(engine: &Engine) {
    CLOCK.get_or_init(Clock::default).engines.lock().push(engine.clone());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operator_of_wasmtimes_parser_has_a_price() {
        assert!(OPERATORS.len() > 500, "the list is there");
        for name in OPERATORS {
            assert!(metering::price_of_name(name).is_some(), "{name} has no price");
        }
        let prices = prices();
        assert_eq!((prices.Nop, prices.I32Add, prices.Drop, prices.MemoryGrow), (0, 1, 0, 255));
        assert_eq!((prices.I32DivS, prices.CallIndirect), (4, 4));
    }

    #[test]
    fn two_pots_are_one_budget() {
        for (left, need) in [(0, 0), (1, 0), (500, 300), (i64::MAX, 0), (1 << 40, 1 << 30)] {
            let pots = Pots::fill(left, need);
            assert_eq!(pots.left(), left, "{left} {need}");
            assert!(pots.counter >= need);
        }
        let empty = Pots { operators: 0, counter: CREDIT };
        assert_eq!(empty.left(), -1, "the one more was taken too");
        let spent = Pots { operators: 1, counter: CREDIT - 7 };
        assert_eq!(spent.left(), -7);
    }
}
