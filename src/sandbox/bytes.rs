//! [`Guest::call_bytes`]: bytes in, bytes out, over the convention that most modules share: the host asks
//! an exported allocator for room, writes, calls with pointer and length, and gets such a pair back.

use std::borrow::Cow;

use cofferdam_engine::{Extern, FuncHandle, FuncType, HostError, Limit, MemoryHandle, Trap, TrapKind, ValType, Value};

use super::error::CallError;
use super::guest::{CallOptions, Guest, Spending};
use super::load::Printable;
use super::outcome::{CallRefusal, Outcome, Receipt};
use crate::host::room_for;

const I32: ValType = ValType::I32;
/// Bytes in a page, if a module does not say otherwise.
const PAGE: u64 = 65_536;
/// Stands for the allocator in a refusal where there is none.
const FRESH_PAGES: &str = "memory.grow";

/// Allocators and what frees their memory, as compilers and guides call them.
const USUAL: [(&str, &[&str]); 3] =
    [("alloc", &["dealloc", "free"]), ("malloc", &["free"]), ("allocate", &["deallocate", "free"])];

/// How a guest takes and gives bytes. The default finds what most modules have:
///
/// | | |
/// |---|---|
/// | memory | `memory` |
/// | allocator | `alloc`, `malloc` or `allocate`, each `(i32) -> (i32)`; 0 says that there is no room |
/// | free | `dealloc`, `free` or `deallocate`, each `(i32) -> ()` or, with the length, `(i32, i32) -> ()`; may be missing |
/// | function | `(i32, i32)`, pointer and length, `-> (i64)`, pointer and length packed; or `-> (i32, i32)`; or `-> ()`, no bytes |
///
/// ```
/// use cofferdam::sandbox::{BytesAbi, Packed};
/// let abi = BytesAbi::default().allocator("my_alloc").free("my_free").packed(Packed::LengthHigh);
/// # let _ = abi;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct BytesAbi {
    memory: Cow<'static, str>,
    allocator: Option<Cow<'static, str>>,
    free: Free,
    packed: Packed,
    takes_input: bool,
    fresh_pages: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Free {
    Usual,
    Named(Cow<'static, str>),
    Never,
}

/// Which half of a packed `i64` is which.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Packed {
    /// `pointer << 32 | length`.
    #[default]
    PointerHigh,
    /// `length << 32 | pointer`.
    LengthHigh,
}

impl Default for BytesAbi {
    fn default() -> Self {
        Self {
            memory: "memory".into(),
            allocator: None,
            free: Free::Usual,
            packed: Packed::default(),
            takes_input: false,
            fresh_pages: false,
        }
    }
}

impl BytesAbi {
    /// The bytes stand in this memory.
    pub fn memory(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.memory = name.into();
        self
    }

    /// This export allocates, and no other.
    pub fn allocator(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.allocator = Some(name.into());
        self
    }

    /// This export frees, and it must be there.
    pub fn free(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.free = Free::Named(name.into());
        self
    }

    /// Nothing is freed: the allocator's memory lives as long as the guest.
    pub fn never_free(mut self) -> Self {
        self.free = Free::Never;
        self
    }

    /// How pointer and length are packed into an `i64`.
    pub fn packed(mut self, packed: Packed) -> Self {
        self.packed = packed;
        self
    }

    /// The function frees its input itself; only its output is freed here.
    pub fn takes_input(mut self) -> Self {
        self.takes_input = true;
        self
    }

    /// A guest that exports no allocator is given its input in fresh pages, by which its memory is grown under
    /// its cap. Nothing of its own is written over, and nothing is freed.
    pub fn or_fresh_pages(mut self) -> Self {
        self.fresh_pages = true;
        self
    }

    pub(crate) fn unpack(&self, packed: i64) -> (u32, u32) {
        let (high, low) = ((packed.cast_unsigned() >> 32) as u32, packed.cast_unsigned() as u32);
        match self.packed {
            Packed::PointerHigh => (high, low),
            Packed::LengthHigh => (low, high),
        }
    }
}

/// How a function gives bytes back.
#[derive(Clone, Copy)]
enum Gives {
    Nothing,
    Packed,
    Pair,
}

/// What a guest has of a [`BytesAbi`], looked up before anything runs.
struct Found {
    memory: MemoryHandle,
    /// `None` for fresh pages.
    allocator: Option<(String, FuncHandle)>,
    /// With whether it wants the length too.
    free: Option<(String, FuncHandle, bool)>,
}

/// Why a call ended, and what the outcome alone does not say of it.
struct Ended(Outcome, Option<String>);

impl<O: Into<Outcome>> From<O> for Ended {
    fn from(outcome: O) -> Self {
        Self(outcome.into(), None)
    }
}

type Done<T> = Result<T, Ended>;

impl Guest {
    /// Calls the function exported as `name` with `input` and gives the bytes that it returns, by the usual
    /// convention (see [`BytesAbi`]). Allocating, calling and freeing share one budget.
    ///
    /// ```
    /// use cofferdam::{engines, GuestState, Sandbox};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # if engines::names().is_empty() { return Ok(()); }
    /// let sandbox = Sandbox::builder(engines::by_name("auto")?).build()?;
    /// // Gives all but the first byte of what it was given.
    /// let module = sandbox.load(br#"(module (memory (export "memory") 1)
    ///   (func (export "alloc") (param i32) (result i32) (i32.const 1024))
    ///   (func (export "tail") (param $ptr i32) (param $len i32) (result i32 i32)
    ///     (i32.add (local.get $ptr) (i32.const 1)) (i32.sub (local.get $len) (i32.const 1))))"#)?;
    /// let mut guest = sandbox.guest(&module, GuestState::default())?;
    /// assert_eq!(guest.call_bytes("tail", b"hello")?, b"ello");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Refused, and the guest goes on: no such function or allocator, another signature, input above
    /// [`Limits::message`](crate::policy::Limits::message), no room for it. Ended: every way for a guest to end;
    /// [`Limit::Message`] for output above the cap; a trap, memory out of bounds, for a pointer that lies outside.
    pub fn call_bytes(&mut self, name: &str, input: &[u8]) -> Result<Vec<u8>, CallError> {
        self.call_bytes_with(name, input, &BytesAbi::default(), &CallOptions::default())
    }

    /// The same by another convention and with other limits for this call.
    ///
    /// # Errors
    /// As [`Guest::call_bytes`].
    pub fn call_bytes_with(
        &mut self,
        name: &str,
        input: &[u8],
        abi: &BytesAbi,
        options: &CallOptions,
    ) -> Result<Vec<u8>, CallError> {
        self.call_bytes_counted(name, input, abi, options).map(|(output, _)| output)
    }

    /// The same, with what all of it cost together.
    ///
    /// # Errors
    /// As [`Guest::call_bytes`].
    pub fn call_bytes_counted(
        &mut self,
        name: &str,
        input: &[u8],
        abi: &BytesAbi,
        options: &CallOptions,
    ) -> Result<(Vec<u8>, Receipt), CallError> {
        self.session(options, |guest, spending| {
            let (func, gives) = guest.bytes_function(name)?;
            let found = guest.find(abi)?;
            let given = guest.put(&found, input, spending)?;
            let args = [Value::from(given.0), Value::from(given.1)];
            let (mut none, mut packed, mut pair) = ([], [Value::I64(0)], [Value::I32(0); 2]);
            let results: &mut [Value] = match gives {
                Gives::Nothing => &mut none,
                Gives::Packed => &mut packed,
                Gives::Pair => &mut pair,
            };
            guest.step(func, name, &args, results, spending)?;
            let (ptr, len) = match *results {
                [Value::I64(both)] => abi.unpack(both),
                [Value::I32(ptr), Value::I32(len)] => (ptr.cast_unsigned(), len.cast_unsigned()),
                _ => (0, 0),
            };
            let output = guest.fetch(&found, name, ptr, len)?;
            // Output that is a part of the input is freed with it.
            let part = (given.0..given.0.saturating_add(given.1)).contains(&ptr) && !abi.takes_input;
            if len > 0 && !part {
                guest.give_back(&found, ptr, len, spending)?;
            }
            if !abi.takes_input {
                guest.give_back(&found, given.0, given.1.max(1), spending)?;
            }
            Ok(output)
        })
    }

    /// Copies `bytes` into room that the guest's allocator gives, and returns pointer and length, ready for a
    /// typed call. They stay until [`Guest::free_bytes`], or as long as the guest.
    ///
    /// # Errors
    /// As [`Guest::call_bytes`].
    pub fn put_bytes(&mut self, bytes: &[u8], abi: &BytesAbi) -> Result<(u32, u32), CallError> {
        self.session(&CallOptions::default(), |guest, spending| {
            let found = guest.find(abi)?;
            guest.put(&found, bytes, spending)
        })
        .map(|(given, _)| given)
    }

    /// Frees what [`Guest::put_bytes`] gave, if the guest has a function for it.
    ///
    /// # Errors
    /// As [`Guest::call_bytes`].
    pub fn free_bytes(&mut self, (ptr, len): (u32, u32), abi: &BytesAbi) -> Result<(), CallError> {
        self.session(&CallOptions::default(), |guest, spending| {
            let found = guest.find(abi)?;
            guest.give_back(&found, ptr, len.max(1), spending)
        })
        .map(|((), _)| ())
    }

    /// Several calls under one budget, with one report.
    fn session<T>(
        &mut self,
        options: &CallOptions,
        body: impl FnOnce(&mut Self, &mut Spending) -> Done<T>,
    ) -> Result<(T, Receipt), CallError> {
        let resources = self.resources().clone();
        let _permit = resources.permits.acquire();
        let mut spending = self.begin(options);
        let done = match self.alive() {
            Ok(()) => body(self, &mut spending),
            Err(poisoned) => Err(poisoned.into()),
        };
        match done {
            Ok(value) => {
                let report = self.end(Outcome::Completed { values: Vec::new(), exit_code: None }, &spending);
                match report.outcome {
                    Outcome::Completed { .. } => Ok((value, report.receipt)),
                    _ => Err(CallError::new(report, None)),
                }
            }
            Err(Ended(outcome, detail)) => Err(CallError::new(self.end(outcome, &spending), detail)),
        }
    }

    fn bytes_function(&mut self, name: &str) -> Done<(FuncHandle, Gives)> {
        let (func, ty) = self.function(name)?;
        let gives = match (ty.params(), ty.results()) {
            ([I32, I32], []) => Gives::Nothing,
            ([I32, I32], [ValType::I64]) => Gives::Packed,
            ([I32, I32], [I32, I32]) => Gives::Pair,
            _ => return Err(other_type(name, &ty, "(i32, i32) -> (i64)").into()),
        };
        Ok((func, gives))
    }

    fn find(&mut self, abi: &BytesAbi) -> Result<Found, CallRefusal> {
        let Some(Extern::Memory(memory)) = self.store.export(self.instance, &abi.memory) else {
            return Err(CallRefusal::MissingMemory { name: Printable::new(&abi.memory).to_string() });
        };
        let usual = USUAL.iter().find(|(name, _)| self.module().has_function(name));
        if abi.fresh_pages && abi.allocator.is_none() && usual.is_none() {
            return Ok(Found { memory, allocator: None, free: None });
        }
        let name = match (&abi.allocator, usual) {
            (Some(name), _) => name.as_ref(),
            (None, Some((name, _))) => name,
            (None, None) => "alloc", // named in the refusal
        };
        let (allocator, ty) = self.function(name)?;
        if (ty.params(), ty.results()) != (&[I32], &[I32]) {
            return Err(other_type(name, &ty, "(i32) -> (i32)"));
        }
        let free = match &abi.free {
            Free::Never => None,
            Free::Named(name) => Some(name.as_ref()),
            Free::Usual => {
                let pair = USUAL.iter().find(|(allocator, _)| *allocator == name);
                let names = pair.map_or(&["dealloc", "free", "deallocate"][..], |(_, free)| free);
                names.iter().copied().find(|name| self.module().has_function(name))
            }
        };
        let free = match free {
            None => None,
            Some(name) => {
                let (func, ty) = self.function(name)?;
                let sized = match (ty.params(), ty.results()) {
                    ([I32], []) => false,
                    ([I32, I32], []) => true,
                    _ => return Err(other_type(name, &ty, "(i32, i32) -> ()")),
                };
                Some((name.to_owned(), func, sized))
            }
        };
        Ok(Found { memory, allocator: Some((name.to_owned(), allocator)), free })
    }

    /// Copies `bytes` into new room. At least one byte is asked for, so that an empty message has an address.
    fn put(&mut self, found: &Found, bytes: &[u8], spending: &mut Spending) -> Done<(u32, u32)> {
        let (cap, whole) = (self.limits.message, bytes.len() as u64);
        let Some(len) = u32::try_from(whole).ok().filter(|_| whole <= cap.get()) else {
            return Err(CallRefusal::MessageTooLong { len: whole, cap }.into());
        };
        let Some((name, allocator)) = &found.allocator else {
            return self.put_in_fresh_pages(found, bytes, len, spending);
        };
        let mut given = [Value::I32(0)];
        self.step(*allocator, name, &[len.max(1).into()], &mut given, spending)?;
        let ptr = given[0].i32().unwrap_or(0).cast_unsigned();
        if ptr == 0 {
            let allocator = Printable::new(name).to_string();
            return Err(CallRefusal::NoRoom { allocator, len: whole }.into());
        }
        match self.store.memory_write(found.memory, ptr.into(), bytes) {
            Ok(()) => Ok((ptr, len)),
            Err(_) => Err(self.wild(found, name, ptr, len)),
        }
    }

    /// Copies `bytes` to where the memory ended. What must run first is run first, for it may take pages too.
    fn put_in_fresh_pages(
        &mut self,
        found: &Found,
        bytes: &[u8],
        len: u32,
        spending: &mut Spending,
    ) -> Done<(u32, u32)> {
        self.settle(spending)?;
        let no_room = || CallRefusal::NoRoom { allocator: FRESH_PAGES.to_owned(), len: len.into() };
        let before = self.store.memory_size(found.memory).unwrap_or(u64::MAX);
        let end = before.checked_add(len.into()).filter(|end| *end <= u64::from(u32::MAX)).ok_or_else(no_room)?;
        let ptr = u32::try_from(before).map_err(|_| no_room())?;
        let pages = u64::from(len).div_ceil(PAGE).max(1);
        if self.store.memory_grow(found.memory, pages).is_err() {
            return Err(no_room().into());
        }
        // Pages may be smaller than the usual ones.
        if self.store.memory_size(found.memory).unwrap_or(0) < end {
            return Err(no_room().into());
        }
        match self.store.memory_write(found.memory, before, bytes) {
            Ok(()) => Ok((ptr, len)),
            Err(_) => Err(no_room().into()),
        }
    }

    /// Copies what the function called `name` says it gives.
    fn fetch(&mut self, found: &Found, name: &str, ptr: u32, len: u32) -> Done<Vec<u8>> {
        let cap = self.limits.message;
        if u64::from(len) > cap.get() {
            let said = format!("`{}` gives {len} bytes and a message may have {cap}", Printable::new(name));
            return Err(Ended(Outcome::Stopped { limit: Limit::Message, frames: Vec::new() }, Some(said)));
        }
        if len == 0 {
            return Ok(Vec::new());
        }
        // Before anything is allocated for it.
        let size = self.store.memory_size(found.memory).unwrap_or(0);
        if u64::from(ptr) + u64::from(len) > size {
            return Err(self.wild(found, name, ptr, len));
        }
        if let Err(HostError::Failed(why)) = room_for(len as usize) {
            return Err(Ended(Outcome::HostFault(why), None));
        }
        let mut output = vec![0; len as usize];
        match self.store.memory_read(found.memory, ptr.into(), &mut output) {
            Ok(()) => Ok(output),
            Err(_) => Err(self.wild(found, name, ptr, len)),
        }
    }

    fn give_back(&mut self, found: &Found, ptr: u32, len: u32, spending: &mut Spending) -> Done<()> {
        let Some((name, func, sized)) = &found.free else { return Ok(()) };
        let args = [Value::from(ptr), Value::from(len)];
        let args = if *sized { &args[..] } else { &args[..1] };
        Ok(self.step(*func, name, args, &mut [], spending)?)
    }

    fn wild(&self, found: &Found, name: &str, ptr: u32, len: u32) -> Ended {
        let size = self.store.memory_size(found.memory).unwrap_or(0);
        let said = format!("`{}` gives {len} bytes at {ptr} and the memory has {size}", Printable::new(name));
        Ended(Outcome::Trapped(Trap::new(TrapKind::MemoryOutOfBounds)), Some(said))
    }
}

fn other_type(name: &str, found: &FuncType, wanted: &str) -> CallRefusal {
    let name = Printable::new(name).to_string();
    CallRefusal::Signature { name, found: found.to_string(), wanted: wanted.to_owned() }
}
