//! Long `memory.fill`, `memory.copy` and `memory.init` done in parts, for engines that run each of them to its
//! end however long it is: helper functions behind the guest's own, one for each operator with its memories and
//! segment, that tick between two parts.
//!
//! Everything else stays the operator's: bounds, traps, and the bytes moved. Fuel is charged before, for the
//! whole; a helper's frame has no place in the guest's module and is shown to nobody.

use wasm_encoder::{BlockType, CodeSection, Function, FunctionSection, InstructionSink, TypeSection, ValType};
use wasmparser::Operator;

use crate::metering::Spaces;

/// Bytes that are worked on between two ticks: long beside a tick, and short beside a slice even where every
/// page is touched for the first time.
const PART: u32 = 256 << 10;

/// An operator that is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Divided {
    Fill { mem: u32 },
    Copy { to: u32, from: u32 },
    Init { data: u32, mem: u32 },
}

/// A helper: the operator, and whether its addresses are 64 bits wide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Helper {
    operator: Divided,
    wide: bool,
}

/// The helpers that a module needs.
pub(crate) struct Helpers {
    on: bool,
    /// Function index of the first.
    first: u32,
    tick: u32,
    all: Vec<Helper>,
}

impl Helpers {
    /// None yet; `first` is the function index that the first will get. If not `on`, there will never be any.
    pub(crate) fn new(on: bool, first: u32, tick: u32) -> Self {
        Self { on, first, tick, all: Vec::new() }
    }

    /// The function to call in place of `operator`, whose operands are the same. `length` is the length, where
    /// the operator before says it.
    pub(crate) fn instead_of(&mut self, operator: &Operator<'_>, length: Option<u64>, spaces: &Spaces) -> Option<u32> {
        if !self.on || length.is_some_and(|known| known <= u64::from(PART)) {
            return None;
        }
        let wide = |mem: u32| spaces.memories.get(mem as usize).is_some_and(|m| m.wide);
        let helper = match *operator {
            Operator::MemoryFill { mem } => Helper { operator: Divided::Fill { mem }, wide: wide(mem) },
            // Between addresses of two widths no length is past 4 GiB, and few guests have such memories.
            Operator::MemoryCopy { dst_mem: to, src_mem: from } if wide(to) == wide(from) => {
                Helper { operator: Divided::Copy { to, from }, wide: wide(to) }
            }
            Operator::MemoryInit { data_index: data, mem } => {
                Helper { operator: Divided::Init { data, mem }, wide: wide(mem) }
            }
            _ => return None,
        };
        let known = self.all.iter().position(|other| *other == helper);
        let at = known.unwrap_or_else(|| {
            self.all.push(helper);
            self.all.len() - 1
        });
        self.first.checked_add(u32::try_from(at).ok()?)
    }

    /// Appends the helpers to the sections of a module that has `types` types.
    pub(crate) fn append(
        &self,
        types: u32,
        (type_section, functions, code): (&mut TypeSection, &mut FunctionSection, &mut CodeSection),
    ) {
        for (at, helper) in (0u32..).zip(&self.all) {
            type_section.ty().function(helper.params(), []);
            functions.function(types.saturating_add(at));
            code.function(&helper.body(self.tick));
        }
    }
}

/// The helper's parameters, which are the operator's operands.
const TO: u32 = 0;
/// The address that is copied from, or the value that is filled in.
const FROM: u32 = 1;
const LEN: u32 = 2;
/// Length of the part in hand, going backwards.
const STEP: u32 = 3;

impl Helper {
    fn params(self) -> [ValType; 3] {
        let address = if self.wide { ValType::I64 } else { ValType::I32 };
        match self.operator {
            Divided::Fill { .. } => [address, ValType::I32, address],
            Divided::Copy { .. } => [address; 3],
            Divided::Init { .. } => [address, ValType::I32, ValType::I32],
        }
    }

    /// Whether the length, and what is copied from, are 64 bits wide.
    fn wide_length(self) -> bool {
        self.wide && !matches!(self.operator, Divided::Init { .. })
    }

    fn body(self, tick: u32) -> Function {
        let length = if self.wide_length() { ValType::I64 } else { ValType::I32 };
        let mut function = Function::new([(1, length)]);
        let mut sink = function.instructions();
        let fills = matches!(self.operator, Divided::Fill { .. });
        self.longer_than_part(&mut sink);
        sink.if_(BlockType::Empty);
        // What wraps around is left to the operator, which traps.
        self.does_not_wrap(&mut sink, TO);
        if !fills {
            self.does_not_wrap(&mut sink, FROM);
            sink.i32_and();
        }
        sink.if_(BlockType::Empty);
        // No bytes at the ends: checks the bounds of the whole, and all parts lie in it.
        self.end(&mut sink, TO);
        if fills {
            sink.local_get(FROM);
        } else {
            self.end(&mut sink, FROM);
        }
        self.constant(&mut sink, 0);
        self.operate(&mut sink);
        if let Divided::Copy { .. } = self.operator {
            // Within one memory no part may overwrite what a later one reads.
            sink.local_get(TO).local_get(FROM);
            if self.wide {
                sink.i64_gt_u()
            } else {
                sink.i32_gt_u()
            };
            sink.if_(BlockType::Empty);
            self.backwards(&mut sink, tick);
            sink.else_();
            self.forwards(&mut sink, tick);
            sink.end();
        } else {
            self.forwards(&mut sink, tick);
        }
        sink.end().end();
        // What is left, or all of it.
        sink.local_get(TO).local_get(FROM).local_get(LEN);
        self.operate(&mut sink);
        sink.end();
        function
    }

    fn operate(self, sink: &mut InstructionSink<'_>) {
        match self.operator {
            Divided::Fill { mem } => sink.memory_fill(mem),
            Divided::Copy { to, from } => sink.memory_copy(to, from),
            Divided::Init { data, mem } => sink.memory_init(mem, data),
        };
    }

    fn constant(self, sink: &mut InstructionSink<'_>, value: u32) {
        if self.wide_length() {
            sink.i64_const(i64::from(value))
        } else {
            sink.i32_const(value.cast_signed())
        };
    }

    /// Leaves whether more than a part is to be done.
    fn longer_than_part(self, sink: &mut InstructionSink<'_>) {
        sink.local_get(LEN);
        self.constant(sink, PART);
        if self.wide_length() {
            sink.i64_gt_u()
        } else {
            sink.i32_gt_u()
        };
    }

    /// Whether addresses in local `local` are 64 bits wide.
    fn wide_local(self, local: u32) -> bool {
        if local == TO { self.wide } else { self.wide_length() }
    }

    /// Leaves local `local` and the length, added.
    fn end(self, sink: &mut InstructionSink<'_>, local: u32) {
        sink.local_get(local).local_get(LEN);
        self.add_length(sink, local);
    }

    fn add_length(self, sink: &mut InstructionSink<'_>, local: u32) {
        match (self.wide_local(local), self.wide_length()) {
            (true, true) => sink.i64_add(),
            (true, false) => sink.i64_extend_i32_u().i64_add(),
            (false, _) => sink.i32_add(),
        };
    }

    fn does_not_wrap(self, sink: &mut InstructionSink<'_>, local: u32) {
        self.end(sink, local);
        sink.local_get(local);
        if self.wide_local(local) {
            sink.i64_ge_u()
        } else {
            sink.i32_ge_u()
        };
    }

    /// Whole parts from the start, until no more than one is left.
    fn forwards(self, sink: &mut InstructionSink<'_>, tick: u32) {
        sink.loop_(BlockType::Empty);
        sink.local_get(TO).local_get(FROM);
        self.constant(sink, PART);
        self.operate(sink);
        let mut on = vec![TO];
        if !matches!(self.operator, Divided::Fill { .. }) {
            on.push(FROM);
        }
        for local in on {
            sink.local_get(local);
            self.constant(sink, PART);
            self.add_length(sink, local);
            sink.local_set(local);
        }
        self.take_from_length(sink, |sink| self.constant(sink, PART));
        self.again(sink, tick);
    }

    /// Parts from the end, the odd one first, until one is left.
    fn backwards(self, sink: &mut InstructionSink<'_>, tick: u32) {
        // ((length - 1) modulo a part) + 1
        sink.local_get(LEN);
        self.constant(sink, 1);
        self.subtract(sink);
        self.constant(sink, PART - 1);
        if self.wide_length() {
            sink.i64_and()
        } else {
            sink.i32_and()
        };
        self.constant(sink, 1);
        if self.wide_length() {
            sink.i64_add()
        } else {
            sink.i32_add()
        };
        sink.local_set(STEP);
        sink.loop_(BlockType::Empty);
        self.take_from_length(sink, |sink| {
            sink.local_get(STEP);
        });
        self.end(sink, TO);
        self.end(sink, FROM);
        sink.local_get(STEP);
        self.operate(sink);
        self.constant(sink, PART);
        sink.local_set(STEP);
        self.again(sink, tick);
    }

    fn subtract(self, sink: &mut InstructionSink<'_>) {
        if self.wide_length() {
            sink.i64_sub()
        } else {
            sink.i32_sub()
        };
    }

    fn take_from_length(self, sink: &mut InstructionSink<'_>, amount: impl FnOnce(&mut InstructionSink<'_>)) {
        sink.local_get(LEN);
        amount(sink);
        self.subtract(sink);
        sink.local_set(LEN);
    }

    /// Ticks, and goes round once more if more than a part is left.
    fn again(self, sink: &mut InstructionSink<'_>, tick: u32) {
        sink.i64_const(0).call(tick);
        self.longer_than_part(sink);
        sink.br_if(0).end();
    }
}
