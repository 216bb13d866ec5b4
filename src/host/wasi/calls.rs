//! The table of preview 1: every call with its signature, its price and its code. What is linked and what
//! is told to the world both come from here.

use std::sync::{Arc, OnceLock};

use cofferdam_engine::{Caller, FuncType, HostError, HostFunc, HostPrice, Import, Imports, ValType, Value};

use super::abi::rights;
use super::errno::{Done, Errno, Failure};
use super::state::WasiState;
use super::{MODULE, clock, environment, fd, io, open, path, poll, random, readdir, sock};
use crate::host::GuestState;

/// One import of preview 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownImport {
    /// Its name under [`MODULE`].
    pub name: &'static str,
    /// Its parameters.
    pub params: &'static [ValType],
    /// Its result: an error number, except for `proc_exit`, which has none.
    pub results: &'static [ValType],
    /// Whether it does something. One that does not still links, and answers `ENOSYS`.
    pub implemented: bool,
}

/// How a parameter is passed.
trait Param: Sized {
    const TYPE: ValType;
    fn of(value: &Value) -> Option<Self>;
}

impl Param for u32 {
    const TYPE: ValType = ValType::I32;
    fn of(value: &Value) -> Option<Self> {
        value.i32().map(i32::cast_unsigned)
    }
}

impl Param for u64 {
    const TYPE: ValType = ValType::I64;
    fn of(value: &Value) -> Option<Self> {
        value.i64().map(i64::cast_unsigned)
    }
}

impl Param for i64 {
    const TYPE: ValType = ValType::I64;
    fn of(value: &Value) -> Option<Self> {
        value.i64()
    }
}

/// What kind of work a call is. Fuel by measured time on a 2-core machine, about one for a nanosecond;
/// bytes, ranges, subscriptions, path lengths and directory entries come on top where there are any.
#[derive(Clone, Copy)]
enum Work {
    /// In our own memory.
    Quick,
    /// The host's clock is read.
    Clock,
    /// One system call.
    Call,
    /// One system call that may move data.
    Data,
    /// A path is walked and looked at.
    Look,
    /// Something is opened, or changed in one file.
    Change,
    /// Names are made, moved or removed.
    Names,
    /// The disk is waited for, while others have the turn: so this pays for little more than asking.
    Disk,
    /// Random bytes are made.
    Random,
}

impl Work {
    const fn price(self) -> HostPrice {
        let copying = HostPrice::V1.per_256_bytes;
        let (base, per_256_bytes) = match self {
            Self::Quick => (HostPrice::V1.base, copying),
            Self::Clock => (80, copying),
            Self::Call => (500, copying),
            Self::Data => (700, copying),
            Self::Look => (3_000, copying),
            Self::Change => (6_000, copying),
            Self::Names => (20_000, copying),
            Self::Disk => (100_000, copying),
            Self::Random => (500, 1024),
        };
        HostPrice { base, per_256_bytes }
    }
}

struct Call {
    known: KnownImport,
    work: Work,
    body: fn(&mut Caller<'_>, &[Value]) -> Done,
}

/// Each line: name, the rights that descriptors among the parameters must have, parameters, kind of work, and
/// what it does: `run` code, `decline` in code after a look at the arguments, or `refuse` with an error
/// number.
macro_rules! calls {
    ($($name:ident $([$($fd:ident : $right:ident),*])? ( $($arg:ident : $ty:ty),* ) $(-> $result:ident)? ,
        $work:ident, $how:tt $code:expr;)*) => {
        const CALLS: &[Call] = &[$(Call {
            known: KnownImport {
                name: stringify!($name),
                params: &[$(<$ty as Param>::TYPE),*],
                results: &[$(ValType::$result)?],
                implemented: calls!(@implemented $how),
            },
            work: Work::$work,
            body: |caller, values| {
                let [$($arg),*] = values else { return Err(mismatch()) };
                $($(allowed(caller, $fd, rights::$right)?;)*)?
                calls!(@body $how caller, $code, $($arg: $ty),*)
            },
        }),*];
    };
    (@implemented run) => { true };
    (@implemented decline) => { false };
    (@implemented refuse) => { false };
    (@body run $caller:ident, $code:expr, $($arg:ident : $ty:ty),*) => {
        $code($caller, $(<$ty>::of($arg).ok_or_else(mismatch)?),*)
    };
    (@body decline $($rest:tt)*) => { calls!(@body run $($rest)*) };
    (@body refuse $caller:ident, $code:expr, $($arg:ident : $ty:ty),*) => {{
        let _ = ($caller, $(<$ty>::of($arg)),*);
        Err($code.into())
    }};
}

calls! {
    args_get(pointers: u32, bytes: u32) -> I32, Quick, run environment::args_get;
    args_sizes_get(count: u32, size: u32) -> I32, Quick, run environment::args_sizes_get;
    environ_get(pointers: u32, bytes: u32) -> I32, Quick, run environment::environ_get;
    environ_sizes_get(count: u32, size: u32) -> I32, Quick, run environment::environ_sizes_get;
    clock_res_get(id: u32, out: u32) -> I32, Quick, run clock::clock_res_get;
    clock_time_get(id: u32, precision: u64, out: u32) -> I32, Clock, run clock::clock_time_get;
    fd_advise[f: FD_ADVISE](f: u32, offset: u64, len: u64, advice: u32) -> I32, Quick, run fd::fd_advise;
    fd_allocate[f: FD_ALLOCATE](f: u32, offset: u64, len: u64) -> I32, Change, run fd::fd_allocate;
    fd_close(f: u32) -> I32, Call, run fd::fd_close;
    fd_datasync[f: FD_DATASYNC](f: u32) -> I32, Disk, run fd::fd_datasync;
    fd_fdstat_get(f: u32, out: u32) -> I32, Quick, run fd::fd_fdstat_get;
    fd_fdstat_set_flags[f: FD_FDSTAT_SET_FLAGS](f: u32, flags: u32) -> I32, Call, run fd::fd_fdstat_set_flags;
    fd_fdstat_set_rights(f: u32, base: u64, inheriting: u64) -> I32, Quick, run fd::fd_fdstat_set_rights;
    fd_filestat_get[f: FD_FILESTAT_GET](f: u32, out: u32) -> I32, Call, run fd::fd_filestat_get;
    fd_filestat_set_size[f: FD_FILESTAT_SET_SIZE](f: u32, size: u64) -> I32, Change, run fd::fd_filestat_set_size;
    fd_filestat_set_times[f: FD_FILESTAT_SET_TIMES](f: u32, atim: u64, mtim: u64, flags: u32) -> I32, Change,
        run fd::fd_filestat_set_times;
    fd_pread[f: FD_READ, f: FD_SEEK](f: u32, iovs: u32, count: u32, offset: u64, out: u32) -> I32, Data,
        run io::fd_pread;
    fd_prestat_get(f: u32, out: u32) -> I32, Quick, run fd::fd_prestat_get;
    fd_prestat_dir_name(f: u32, ptr: u32, len: u32) -> I32, Quick, run fd::fd_prestat_dir_name;
    fd_pwrite[f: FD_WRITE, f: FD_SEEK](f: u32, iovs: u32, count: u32, offset: u64, out: u32) -> I32, Data,
        run io::fd_pwrite;
    fd_read[f: FD_READ](f: u32, iovs: u32, count: u32, out: u32) -> I32, Data, run io::fd_read;
    fd_readdir[f: FD_READDIR](f: u32, buf: u32, len: u32, cookie: u64, out: u32) -> I32, Call, run readdir::fd_readdir;
    fd_renumber(f: u32, to: u32) -> I32, Call, run fd::fd_renumber;
    fd_seek(f: u32, offset: i64, whence: u32, out: u32) -> I32, Call, run fd::fd_seek;
    fd_sync[f: FD_SYNC](f: u32) -> I32, Disk, run fd::fd_sync;
    fd_tell[f: FD_TELL](f: u32, out: u32) -> I32, Call, run fd::fd_tell;
    fd_write[f: FD_WRITE](f: u32, iovs: u32, count: u32, out: u32) -> I32, Data, run io::fd_write;
    path_create_directory[f: PATH_CREATE_DIRECTORY](f: u32, ptr: u32, len: u32) -> I32, Names,
        run path::path_create_directory;
    path_filestat_get[f: PATH_FILESTAT_GET](f: u32, flags: u32, ptr: u32, len: u32, out: u32) -> I32, Look,
        run path::path_filestat_get;
    path_filestat_set_times[f: PATH_FILESTAT_SET_TIMES]
        (f: u32, flags: u32, ptr: u32, len: u32, atim: u64, mtim: u64, times: u32) -> I32,
        Change, run path::path_filestat_set_times;
    path_link[f: PATH_LINK_SOURCE, to: PATH_LINK_TARGET]
        (f: u32, flags: u32, old: u32, old_len: u32, to: u32, new: u32, new_len: u32) -> I32,
        Names, run path::path_link;
    path_open[f: PATH_OPEN]
        (f: u32, lookup: u32, ptr: u32, len: u32, oflags: u32, base: u64, inherit: u64, fdflags: u32, out: u32) -> I32,
        Change, run open::path_open;
    path_readlink[f: PATH_READLINK](f: u32, ptr: u32, len: u32, buf: u32, buf_len: u32, out: u32) -> I32, Look,
        run path::path_readlink;
    path_remove_directory[f: PATH_REMOVE_DIRECTORY](f: u32, ptr: u32, len: u32) -> I32, Names,
        run path::path_remove_directory;
    path_rename[f: PATH_RENAME_SOURCE, to: PATH_RENAME_TARGET]
        (f: u32, old: u32, old_len: u32, to: u32, new: u32, new_len: u32) -> I32, Names, run path::path_rename;
    path_symlink[f: PATH_SYMLINK](old: u32, old_len: u32, f: u32, new: u32, new_len: u32) -> I32, Names,
        run path::path_symlink;
    path_unlink_file[f: PATH_UNLINK_FILE](f: u32, ptr: u32, len: u32) -> I32, Names, run path::path_unlink_file;
    poll_oneoff(input: u32, output: u32, count: u32, out: u32) -> I32, Call, run poll::poll_oneoff;
    proc_exit(code: u32), Quick, run proc_exit;
    proc_raise(signal: u32) -> I32, Quick, refuse Errno::NotImplemented;
    random_get(ptr: u32, len: u32) -> I32, Random, run random::random_get;
    sched_yield() -> I32, Call, run poll::sched_yield;
    sock_accept(f: u32, flags: u32, out: u32) -> I32, Quick, decline sock::sock_accept;
    sock_recv(f: u32, iovs: u32, count: u32, flags: u32, size: u32, out: u32) -> I32, Quick, decline sock::sock_recv;
    sock_send(f: u32, iovs: u32, count: u32, flags: u32, out: u32) -> I32, Quick, decline sock::sock_send;
    sock_shutdown(f: u32, how: u32) -> I32, Quick, decline sock::sock_shutdown;
}

/// Whether the descriptor `fd` still has `right`. One that is not open is left to the call, which may have
/// something to say about its other arguments first.
fn allowed(caller: &mut Caller<'_>, fd: &Value, right: u64) -> Done {
    let fd = u32::of(fd).ok_or_else(mismatch)?;
    match WasiState::of(caller)?.descriptors.get(fd) {
        Ok(descriptor) => Ok(descriptor.allows(right)?),
        Err(_) => Ok(()),
    }
}

fn proc_exit(_: &mut Caller<'_>, code: u32) -> Done {
    Err(HostError::Exit(code).into())
}

/// Engines check types when they link, so this is never a guest's doing.
fn mismatch() -> Failure {
    HostError::failed("a WASI function was called with other types than it was linked with").into()
}

/// Every import of preview 1, implemented or not: all of them link.
#[must_use]
pub fn known_imports() -> &'static [KnownImport] {
    static KNOWN: OnceLock<Vec<KnownImport>> = OnceLock::new();
    KNOWN.get_or_init(|| CALLS.iter().map(|c| c.known).collect())
}

/// All of preview 1, recorded once. Each call finds the guest's own [`WasiState`](super::WasiState) in its
/// [`GuestState`](crate::host::GuestState).
#[must_use]
pub fn imports() -> &'static Imports {
    static IMPORTS: OnceLock<Imports> = OnceLock::new();
    IMPORTS.get_or_init(|| {
        let mut imports = Imports::new();
        for call in CALLS {
            imports.host(MODULE, call.known.name, host_func(call));
        }
        imports
    })
}

/// Adds all of preview 1 to `imports`.
pub fn add_to(imports: &mut Imports) {
    for (module, name, import) in self::imports().iter() {
        let import = match import {
            Import::Host(func) => Import::Host(Arc::clone(func)),
            other => other.clone(),
        };
        imports.define(module, name, import);
    }
}

fn host_func(call: &Call) -> HostFunc {
    let body = call.body;
    let quick = matches!(call.work, Work::Quick | Work::Clock);
    let ty = FuncType::new(call.known.params, call.known.results);
    let func = HostFunc::new(ty, move |caller, values, results| {
        let done = body(caller, values);
        if !quick {
            // What the base price does not cover is known only now.
            settle(caller)?;
        }
        let errno = match done {
            Ok(()) => 0,
            Err(Failure::Errno(errno)) => errno as u16,
            Err(Failure::Stop(error)) => return Err(error),
        };
        if let Some(result) = results.first_mut() {
            *result = Value::I32(errno.into());
        }
        Ok(())
    });
    let func = func.priced(call.work.price());
    if quick { func.quick() } else { func }
}

/// Pays for what a call has found to do beyond its price.
pub(super) fn settle(caller: &mut Caller<'_>) -> Result<(), HostError> {
    let Some(wasi) = &caller.state::<GuestState>()?.wasi else { return Ok(()) };
    let owed = wasi.quota.settle();
    if owed == 0 { Ok(()) } else { caller.charge(owed) }
}
