//! [`GuestMemory`]: an exported memory, read and written with every offset checked.

use cofferdam_engine::{AccessError, Extern, MemoryHandle};

use super::guest::Guest;
use super::load::Printable;

/// A memory that a guest exports, between two of its calls. What stands in it is the guest's word: check it
/// like any other input.
///
/// ```
/// use cofferdam::{engines, GuestState, Sandbox};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # if engines::names().is_empty() { return Ok(()); }
/// let sandbox = Sandbox::builder(engines::by_name("auto")?).build()?;
/// let module = sandbox.load(br#"(module (memory (export "memory") 1) (data (i32.const 8) "h\c3\a9llo"))"#)?;
/// let mut guest = sandbox.guest(&module, GuestState::default())?;
///
/// let mut memory = guest.memory("memory")?;
/// assert_eq!(memory.string(8, 6)?, "héllo");
/// memory.set(16, 0x0102_0304_u32)?;
/// assert_eq!((memory.get::<u8>(16)?, memory.read(17, 3)?), (4, vec![3, 2, 1]));
/// assert_eq!(memory.read(65_530, 7).unwrap_err().to_string(), "7 bytes at 65530 lie outside of the memory of 65536");
/// # Ok(())
/// # }
/// ```
pub struct GuestMemory<'g> {
    guest: &'g mut Guest,
    memory: MemoryHandle,
}

/// Why guest memory could not be read, written or grown. Nothing was changed then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MemoryError {
    /// The guest exports no memory by that name.
    #[error("the module exports no memory `{name}`")]
    Missing {
        /// The name asked for.
        name: String,
    },
    /// Part of it lies outside.
    #[error("{len} bytes at {offset} lie outside of the memory of {size}")]
    OutOfBounds {
        /// The first byte asked for.
        offset: u64,
        /// How many.
        len: u64,
        /// Bytes in the memory.
        size: u64,
    },
    /// What stands there is no text.
    #[error("the {len} bytes at {offset} are no UTF-8 from byte {valid} on")]
    NotUtf8 {
        /// The first byte asked for.
        offset: u64,
        /// How many.
        len: u64,
        /// How many of them are good.
        valid: usize,
    },
    /// The guest's cap (`Limits::memory` raises it) or the maximum that the module declares.
    #[error("the memory of {size} bytes cannot grow by {pages} pages: `Limits::memory` or its own maximum")]
    Growth {
        /// Pages asked for.
        pages: u64,
        /// Bytes in the memory.
        size: u64,
    },
    /// The engine cannot do this.
    #[error(transparent)]
    Engine(AccessError),
}

mod sealed {
    pub trait Sealed: Copy {
        type Bytes: AsRef<[u8]> + AsMut<[u8]> + Default;
        fn from_bytes(bytes: Self::Bytes) -> Self;
        fn into_bytes(self) -> Self::Bytes;
    }
}

/// A number that stands in guest memory in little-endian order: integers of 8 to 128 bits, `f32`, `f64`.
pub trait Number: sealed::Sealed {}

macro_rules! numbers {
    ($($ty:ty)*) => {$(
        impl Number for $ty {}
        impl sealed::Sealed for $ty {
            type Bytes = [u8; size_of::<$ty>()];
            fn from_bytes(bytes: Self::Bytes) -> Self {
                Self::from_le_bytes(bytes)
            }
            fn into_bytes(self) -> Self::Bytes {
                self.to_le_bytes()
            }
        }
    )*};
}

numbers! { u8 i8 u16 i16 u32 i32 u64 i64 u128 i128 f32 f64 }

impl Guest {
    /// The memory exported as `name`; most modules have one called `memory`. A guest that was stopped can
    /// still be looked at.
    ///
    /// # Errors
    /// [`MemoryError::Missing`].
    pub fn memory(&mut self, name: &str) -> Result<GuestMemory<'_>, MemoryError> {
        match self.store.export(self.instance, name) {
            Some(Extern::Memory(memory)) => Ok(GuestMemory { guest: self, memory }),
            _ => Err(MemoryError::Missing { name: Printable::new(name).to_string() }),
        }
    }
}

impl GuestMemory<'_> {
    /// Bytes in it now.
    ///
    /// # Errors
    /// The engine cannot tell.
    pub fn size(&self) -> Result<u64, MemoryError> {
        self.guest.store.memory_size(self.memory).map_err(MemoryError::Engine)
    }

    /// Whether `len` bytes at `offset` lie inside.
    fn check(&self, offset: u64, len: u64) -> Result<(), MemoryError> {
        let size = self.size()?;
        match offset.checked_add(len) {
            Some(end) if end <= size => Ok(()),
            _ => Err(MemoryError::OutOfBounds { offset, len, size }),
        }
    }

    /// A copy of `len` bytes at `offset`. Nothing is allocated for bytes that are not there.
    ///
    /// # Errors
    /// Out of bounds.
    pub fn read(&self, offset: u64, len: u64) -> Result<Vec<u8>, MemoryError> {
        self.check(offset, len)?;
        let outside = |_| MemoryError::OutOfBounds { offset, len, size: u64::MAX };
        let mut bytes = vec![0; usize::try_from(len).map_err(outside)?];
        self.guest.store.memory_read(self.memory, offset, &mut bytes).map_err(MemoryError::Engine)?;
        Ok(bytes)
    }

    /// Fills `into` from `offset` on.
    ///
    /// # Errors
    /// Out of bounds.
    pub fn read_into(&self, offset: u64, into: &mut [u8]) -> Result<(), MemoryError> {
        self.check(offset, into.len() as u64)?;
        self.guest.store.memory_read(self.memory, offset, into).map_err(MemoryError::Engine)
    }

    /// The text in `len` bytes at `offset`.
    ///
    /// # Errors
    /// Out of bounds, or no UTF-8.
    pub fn string(&self, offset: u64, len: u64) -> Result<String, MemoryError> {
        let not_utf8 =
            |e: std::string::FromUtf8Error| MemoryError::NotUtf8 { offset, len, valid: e.utf8_error().valid_up_to() };
        String::from_utf8(self.read(offset, len)?).map_err(not_utf8)
    }

    /// The number at `offset`.
    ///
    /// # Errors
    /// Out of bounds.
    pub fn get<N: Number>(&self, offset: u64) -> Result<N, MemoryError> {
        let mut bytes = N::Bytes::default();
        self.read_into(offset, bytes.as_mut())?;
        Ok(N::from_bytes(bytes))
    }

    /// Writes `from` at `offset`.
    ///
    /// # Errors
    /// Out of bounds.
    pub fn write(&mut self, offset: u64, from: &[u8]) -> Result<(), MemoryError> {
        self.check(offset, from.len() as u64)?;
        self.guest.store.memory_write(self.memory, offset, from).map_err(MemoryError::Engine)
    }

    /// Writes `number` at `offset`.
    ///
    /// # Errors
    /// Out of bounds.
    pub fn set<N: Number>(&mut self, offset: u64, number: N) -> Result<(), MemoryError> {
        self.write(offset, number.into_bytes().as_ref())
    }

    /// Grows it by `pages` (of 65,536 bytes, if the module does not say otherwise), under the guest's cap as
    /// if the guest had asked. Returns the pages before.
    ///
    /// # Errors
    /// The guest's cap, or the maximum that the module declares.
    pub fn grow(&mut self, pages: u64) -> Result<u64, MemoryError> {
        let size = self.size()?;
        self.guest.store.memory_grow(self.memory, pages).map_err(|error| match error {
            AccessError::Refused => MemoryError::Growth { pages, size },
            other => MemoryError::Engine(other),
        })
    }
}
