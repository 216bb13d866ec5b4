//! What an agent may call of Cofferdam, version 1 (`docs/abi.md`). Without `std` and without dependencies;
//! whatever gives bytes of unknown length needs `alloc`.
//!
//! An agent is a `cdylib` for `wasm32-unknown-unknown` that exports hooks:
//!
//! ```ignore
//! #[no_mangle]
//! pub extern "C" fn handle_message() {
//!     let _ = cofferdam_guest::output(&cofferdam_guest::input());
//! }
//! ```
//!
//! Only what is called is imported, and only what is granted may be imported.
#![no_std]

extern crate alloc;

use alloc::string::String;
use alloc::vec::Vec;

/// The functions themselves, for those who want no wrapper.
pub mod raw {
    #[link(wasm_import_module = "cofferdam_v1")]
    extern "C" {
        pub fn input_len() -> i32;
        pub fn input_read(to: *mut u8, len: usize, offset: usize) -> i32;
        pub fn output_write(from: *const u8, len: usize) -> i32;
        pub fn result_read(to: *mut u8, len: usize, offset: usize) -> i32;
        pub fn log(level: i32, text: *const u8, len: usize) -> i32;
        pub fn get_time() -> i64;
        pub fn random(to: *mut u8, len: usize) -> i32;
        pub fn send_message(to: *const u8, to_len: usize, body: *const u8, len: usize) -> i64;
        pub fn request(to: *const u8, to_len: usize, body: *const u8, len: usize, timeout_ms: u32) -> i64;
        pub fn receive_message(to: *mut u8, cap: usize, timeout_ms: u32) -> i32;
        pub fn message_from(to: *mut u8, cap: usize) -> i32;
        pub fn message_topic(to: *mut u8, cap: usize) -> i32;
        pub fn message_kind() -> i32;
        pub fn message_correlation() -> i64;
        pub fn reply(body: *const u8, len: usize) -> i32;
        pub fn set_timer(after_ms: u32, token: i64) -> i32;
        pub fn kv_get(key: *const u8, key_len: usize, to: *mut u8, cap: usize) -> i32;
        pub fn kv_set(key: *const u8, key_len: usize, value: *const u8, len: usize) -> i32;
        pub fn kv_delete(key: *const u8, key_len: usize) -> i32;
        pub fn kv_list(prefix: *const u8, prefix_len: usize, to: *mut u8, cap: usize) -> i32;
        pub fn call_tool(
            name: *const u8,
            name_len: usize,
            json: *const u8,
            len: usize,
            to: *mut u8,
            cap: usize,
        ) -> i32;
    }
}

/// What the host says instead of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    NotFound,
    Denied,
    TooLarge,
    Full,
    TimedOut,
    Invalid,
    Gone,
    NoReplyExpected,
    Failed,
    NotNow,
    /// A number that a later version of the host has.
    Other(i32),
}

impl Error {
    /// The number, to be given back by a hook.
    pub fn code(self) -> i32 {
        match self {
            Self::NotFound => -1,
            Self::Denied => -2,
            Self::TooLarge => -3,
            Self::Full => -4,
            Self::TimedOut => -5,
            Self::Invalid => -6,
            Self::Gone => -7,
            Self::NoReplyExpected => -8,
            Self::Failed => -9,
            Self::NotNow => -10,
            Self::Other(code) => code,
        }
    }

    fn of(code: i32) -> Self {
        match code {
            -1 => Self::NotFound,
            -2 => Self::Denied,
            -3 => Self::TooLarge,
            -4 => Self::Full,
            -5 => Self::TimedOut,
            -6 => Self::Invalid,
            -7 => Self::Gone,
            -8 => Self::NoReplyExpected,
            -9 => Self::Failed,
            -10 => Self::NotNow,
            other => Self::Other(other),
        }
    }
}

/// What a call ends with.
pub type Result<T> = core::result::Result<T, Error>;

fn check(status: i32) -> Result<usize> {
    if status < 0 {
        Err(Error::of(status))
    } else {
        Ok(status as usize)
    }
}

fn check64(status: i64) -> Result<u64> {
    if status < 0 {
        Err(Error::of(status as i32))
    } else {
        Ok(status as u64)
    }
}

/// Calls `ask` with room for what most answers have, and reads the rest if there is more.
fn answer(ask: impl Fn(*mut u8, usize) -> i32) -> Result<Vec<u8>> {
    let mut bytes = alloc::vec![0; 256];
    let len = check(ask(bytes.as_mut_ptr(), bytes.len()))?;
    if len > bytes.len() {
        bytes.resize(len, 0);
        // SAFETY: the host writes at most `len` bytes to where the vector has `len`.
        check(unsafe { raw::result_read(bytes.as_mut_ptr(), len, 0) })?;
    }
    bytes.truncate(len);
    Ok(bytes)
}

/// What the hook or export was called with, or the message that [`receive`] took last.
pub fn input() -> Vec<u8> {
    // SAFETY: no pointer.
    let len = unsafe { raw::input_len() }.max(0) as usize;
    let mut bytes = alloc::vec![0; len];
    // SAFETY: the host writes at most `len` bytes to where the vector has `len`.
    let read = unsafe { raw::input_read(bytes.as_mut_ptr(), len, 0) };
    bytes.truncate(read.max(0) as usize);
    bytes
}

/// Adds to what the hook or export gives.
pub fn output(bytes: &[u8]) -> Result<()> {
    // SAFETY: the host reads where the slice is.
    check(unsafe { raw::output_write(bytes.as_ptr(), bytes.len()) }).map(drop)
}

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Level {
    Error = 0,
    Warn = 1,
    Info = 2,
    Debug = 3,
    Trace = 4,
}

/// Logs a line.
pub fn log(level: Level, text: &str) -> Result<()> {
    // SAFETY: the host reads where the text is.
    check(unsafe { raw::log(level as i32, text.as_ptr(), text.len()) }).map(drop)
}

/// Nanoseconds since 1970.
pub fn time_ns() -> i64 {
    // SAFETY: no pointer.
    unsafe { raw::get_time() }
}

/// Fills `bytes` with random ones.
pub fn random(bytes: &mut [u8]) -> Result<()> {
    // SAFETY: the host writes where the slice is.
    check(unsafe { raw::random(bytes.as_mut_ptr(), bytes.len()) }).map(drop)
}

/// Sends to an agent's name or id, or to a `#topic`. How many received it.
pub fn send(to: &str, body: &[u8]) -> Result<u64> {
    // SAFETY: the host reads where name and body are.
    check64(unsafe { raw::send_message(to.as_ptr(), to.len(), body.as_ptr(), body.len()) })
}

/// Sends and wants a reply, which comes as a message of kind [`Kind::Reply`] with the number that this gives.
pub fn request(to: &str, body: &[u8], timeout_ms: u32) -> Result<u64> {
    // SAFETY: the host reads where name and body are.
    check64(unsafe { raw::request(to.as_ptr(), to.len(), body.as_ptr(), body.len(), timeout_ms) })
}

/// Takes the next message: it becomes the current one, and its body the [`input`].
pub fn receive(timeout_ms: u32) -> Result<Vec<u8>> {
    // SAFETY: no room is given, so nothing is written.
    check(unsafe { raw::receive_message(core::ptr::null_mut(), 0, timeout_ms) })?;
    Ok(input())
}

/// Answers the current message.
pub fn reply(body: &[u8]) -> Result<()> {
    // SAFETY: the host reads where the body is.
    check(unsafe { raw::reply(body.as_ptr(), body.len()) }).map(drop)
}

/// What the current message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Message,
    Reply,
    /// The request timed out, or its receiver is gone.
    NoReply,
}

/// What the current message is.
pub fn message_kind() -> Result<Kind> {
    // SAFETY: no pointer.
    Ok(match check(unsafe { raw::message_kind() })? {
        0 => Kind::Message,
        1 => Kind::Reply,
        _ => Kind::NoReply,
    })
}

/// For a reply, the number that [`request`] gave; for a message, a number if its sender wants a reply.
pub fn message_correlation() -> Option<u64> {
    // SAFETY: no pointer.
    check64(unsafe { raw::message_correlation() }).ok()
}

/// Names have at most 64 bytes.
fn short(ask: impl Fn(*mut u8, usize) -> i32) -> Result<String> {
    let mut name = [0; 64];
    let len = check(ask(name.as_mut_ptr(), name.len()))?;
    Ok(String::from_utf8_lossy(name.get(..len).unwrap_or(&name)).into_owned())
}

/// Who sent the current message; empty if it was the host.
pub fn message_from() -> Result<String> {
    // SAFETY: the host writes at most as many bytes as it is told that there are.
    short(|to, cap| unsafe { raw::message_from(to, cap) })
}

/// The topic that the current message was sent to, if it was.
pub fn message_topic() -> Result<String> {
    // SAFETY: the host writes at most as many bytes as it is told that there are.
    short(|to, cap| unsafe { raw::message_topic(to, cap) })
}

/// The export `on_timer(token: i64)` is called after this time.
pub fn set_timer(after_ms: u32, token: i64) -> Result<()> {
    // SAFETY: no pointer.
    check(unsafe { raw::set_timer(after_ms, token) }).map(drop)
}

/// What is stored under `key`; `None` if there is nothing. An error does not say that: whoever begins anew after one
/// overwrites what is there.
pub fn kv_get(key: &[u8]) -> Result<Option<Vec<u8>>> {
    // SAFETY: the host reads where the key is, and writes at most as many bytes as it is told that there are.
    match answer(|to, cap| unsafe { raw::kv_get(key.as_ptr(), key.len(), to, cap) }) {
        Ok(value) => Ok(Some(value)),
        Err(Error::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Stores `value` under `key`.
pub fn kv_set(key: &[u8], value: &[u8]) -> Result<()> {
    // SAFETY: the host reads where key and value are.
    check(unsafe { raw::kv_set(key.as_ptr(), key.len(), value.as_ptr(), value.len()) }).map(drop)
}

/// Takes `key` away, and says whether it was there.
pub fn kv_delete(key: &[u8]) -> Result<bool> {
    // SAFETY: the host reads where the key is.
    match check(unsafe { raw::kv_delete(key.as_ptr(), key.len()) }) {
        Ok(_) => Ok(true),
        Err(Error::NotFound) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The keys that begin with `prefix`, in order.
pub fn kv_list(prefix: &[u8]) -> Result<Vec<Vec<u8>>> {
    // SAFETY: the host reads where the prefix is, and writes at most as many bytes as it is told that there are.
    let list = answer(|to, cap| unsafe { raw::kv_list(prefix.as_ptr(), prefix.len(), to, cap) })?;
    let mut keys = Vec::new();
    let mut rest = &list[..];
    while rest.len() >= 4 {
        let (len, tail) = rest.split_at(4);
        let len = u32::from_le_bytes([len[0], len[1], len[2], len[3]]) as usize;
        let (key, tail) = tail.split_at(len.min(tail.len()));
        keys.push(key.to_vec());
        rest = tail;
    }
    Ok(keys)
}

/// Calls a tool: JSON in, JSON out. After [`Error::Failed`], [`why`] tells what the tool says.
pub fn call_tool(name: &str, json: &[u8]) -> Result<Vec<u8>> {
    // SAFETY: the host reads where name and JSON are, and writes at most as many bytes as it is told that there are.
    answer(|to, cap| unsafe { raw::call_tool(name.as_ptr(), name.len(), json.as_ptr(), json.len(), to, cap) })
}

/// What the tool said, if the last call was one that ended with [`Error::Failed`]. After anything else it is empty, or
/// part of a result.
pub fn why() -> String {
    let mut text = alloc::vec![0; 4 << 10];
    // SAFETY: the host writes at most as many bytes as it is told that there are.
    let len = unsafe { raw::result_read(text.as_mut_ptr(), text.len(), 0) };
    text.truncate(len.max(0) as usize);
    String::from_utf8_lossy(&text).into_owned()
}
