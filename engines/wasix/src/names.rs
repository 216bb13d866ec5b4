//! What becomes of each name of WASIX: offered, behind a permission, or not offered at all. This is the
//! allow-list; what is not on it is never linked.

/// The module half of WASIX's names.
pub const MODULE: &str = "wasix_32v1";
/// The same for 64-bit memories, which is refused.
pub const MODULE_64: &str = "wasix_64v1";
/// The module half of preview 1's names.
pub const PREVIEW1: &str = "wasi_snapshot_preview1";

/// What only a permission of its own would allow. None of them can be given at present: see [`Permission::why_not`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Permission {
    /// Threads beside the first one.
    Threads,
    /// Other programs: fork, exec, spawn, join, signals to them, pipes.
    Processes,
    /// Sockets, name resolution and network interfaces.
    Sockets,
    /// Code and calls that are found while the program runs.
    DynamicLoading,
}

impl Permission {
    /// All of them.
    pub const ALL: &'static [Self] = &[Self::Threads, Self::Processes, Self::Sockets, Self::DynamicLoading];

    /// `threads`, `processes`, `sockets` or `dynamic-loading`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Threads => "threads",
            Self::Processes => "processes",
            Self::Sockets => "sockets",
            Self::DynamicLoading => "dynamic-loading",
        }
    }

    /// Why it cannot be given: which limit would not hold.
    #[must_use]
    pub const fn why_not(self) -> &'static str {
        match self {
            Self::Threads => "a second thread would run outside of the guest's fuel, deadline and memory cap",
            Self::Processes => {
                "another process would run outside of the guest's fuel, deadline and caps, and its module would not be checked"
            }
            Self::Sockets => "a socket's waits do not all end at the deadline, and its buffers have no cap",
            Self::DynamicLoading => "a module that is loaded while the program runs would not be checked or metered",
        }
    }
}

/// What becomes of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is linked.
    Offered,
    /// Only with this permission.
    Needs(Permission),
    /// It is not linked, whatever the policy says; with the reason.
    Never(&'static str),
}

/// What becomes of the function `name` of WASIX or of preview 1; `None` if neither has such a function.
#[must_use]
pub fn standing(module: &str, name: &str) -> Option<Standing> {
    use Permission::{DynamicLoading, Processes, Sockets, Threads};
    use Standing::{Needs, Never};
    match module {
        MODULE_64 => return Some(Never("modules with 64-bit memories are not run; build for wasix_32v1")),
        MODULE | PREVIEW1 => {}
        _ => return None,
    }
    if offer(name).is_some() {
        return (module == MODULE || offer(name).is_some_and(|o| o.preview1)).then_some(Standing::Offered);
    }
    let standing = match name {
        _ if name.starts_with("sock_") => Needs(Sockets),
        "thread-spawn" => Needs(Threads),
        _ if module == PREVIEW1 => return None,
        _ if name.starts_with("port_") => Needs(Sockets),
        "resolve" => Needs(Sockets),
        "thread_spawn" | "thread_spawn_v2" | "thread_join" | "thread_signal" | "thread_exit" => Needs(Threads),
        "proc_fork"
        | "proc_fork_env"
        | "proc_exec"
        | "proc_exec2"
        | "proc_exec3"
        | "proc_exec4"
        | "proc_spawn"
        | "proc_spawn2"
        | "proc_spawn3"
        | "proc_join"
        | "proc_signal"
        | "proc_raise_interval"
        | "proc_snapshot"
        | "fd_pipe" => Needs(Processes),
        "dlopen" | "dlsym" | "dl_invalid_handle" | "call_dynamic" | "reflect_signature" | "closure_prepare"
        | "closure_allocate" | "closure_free" => Needs(DynamicLoading),
        "context_create" | "context_switch" | "context_destroy" => {
            Never("a context runs on a stack of its own, outside of the stack budget")
        }
        "stack_checkpoint" | "stack_restore" => Never("it would unwind the guest past the stack budget's count"),
        "epoll_create" | "epoll_ctl" | "epoll_wait" | "fd_event" => {
            Never("what it keeps in the host's memory has no cap; `poll_oneoff` is offered")
        }
        "clock_time_set" => Never("the clock is not the guest's to set"),
        "tty_set" => Never("it would change the host's terminal"),
        _ => return None,
    };
    Some(standing)
}

/// What is known of an offered function, for its checks and its price.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offer {
    pub name: &'static str,
    /// Whether preview 1 has it too.
    pub preview1: bool,
    /// Fuel for each call: about one for a nanosecond.
    pub fuel: u64,
    pub kind: Kind,
    /// Which parameter is the length of an iovec list.
    pub iovs: Option<usize>,
    /// Which parameters are the lengths of paths.
    pub paths: &'static [usize],
    /// Which parameter is a number of bytes that the call may handle.
    pub bytes: Option<usize>,
    /// Which parameter is where the number of a new descriptor is written.
    pub opens: Option<usize>,
    /// Which parameter is a number for a descriptor that the guest chooses.
    pub chosen: Option<usize>,
}

/// How a call is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It does not wait.
    Plain,
    /// It may wait.
    Waits,
    /// It closes the descriptor that is its first parameter.
    Closes,
    /// It moves the descriptor that is its first parameter to its second; in WASIX it duplicates it.
    Renumbers,
    /// It changes rights or flags of the descriptor that is its first parameter.
    Sets,
    /// It ends the program: run by the bridge itself.
    Exit,
    /// It gives the turn to others: run by the bridge itself.
    Yield,
    /// It does nothing, because signals never come: run by the bridge itself.
    Nothing,
}

const fn plain(name: &'static str, preview1: bool, fuel: u64) -> Offer {
    Offer { name, preview1, fuel, kind: Kind::Plain, iovs: None, paths: &[], bytes: None, opens: None, chosen: None }
}

const fn path(name: &'static str, preview1: bool, fuel: u64, paths: &'static [usize]) -> Offer {
    Offer { paths, ..plain(name, preview1, fuel) }
}

const fn data(name: &'static str) -> Offer {
    Offer { iovs: Some(2), ..plain(name, true, CALL) }
}

const fn as_kind(kind: Kind, offer: Offer) -> Offer {
    Offer { kind, ..offer }
}

/// What the bridge itself takes, in the guest's store and in the one beside it.
const QUICK: u64 = 1_000;
const CALL: u64 = 2_000;
const LOOK: u64 = 6_000;
const NAMES: u64 = 20_000;
/// A thread is started that watches the time.
const WAIT: u64 = 50_000;
const DISK: u64 = 100_000;

/// Everything that is offered.
pub(crate) const OFFERS: &[Offer] = &[
    plain("args_get", true, QUICK),
    plain("args_sizes_get", true, QUICK),
    plain("environ_get", true, QUICK),
    plain("environ_sizes_get", true, QUICK),
    plain("clock_res_get", true, QUICK),
    plain("clock_time_get", true, QUICK),
    plain("fd_advise", true, QUICK),
    plain("fd_allocate", true, LOOK),
    as_kind(Kind::Closes, plain("fd_close", true, CALL)),
    plain("fd_datasync", true, DISK),
    plain("fd_fdstat_get", true, QUICK),
    as_kind(Kind::Sets, plain("fd_fdstat_set_flags", true, QUICK)),
    as_kind(Kind::Sets, plain("fd_fdstat_set_rights", true, QUICK)),
    plain("fd_filestat_get", true, CALL),
    plain("fd_filestat_set_size", true, LOOK),
    plain("fd_filestat_set_times", true, LOOK),
    Offer { opens: Some(1), ..plain("fd_dup", false, CALL) },
    Offer { opens: Some(3), chosen: Some(1), ..plain("fd_dup2", false, CALL) },
    plain("fd_fdflags_get", false, QUICK),
    as_kind(Kind::Sets, plain("fd_fdflags_set", false, QUICK)),
    data("fd_pread"),
    data("fd_pwrite"),
    data("fd_read"),
    data("fd_write"),
    plain("fd_prestat_get", true, QUICK),
    plain("fd_prestat_dir_name", true, QUICK),
    Offer { bytes: Some(2), ..plain("fd_readdir", true, CALL) },
    Offer { chosen: Some(1), ..as_kind(Kind::Renumbers, plain("fd_renumber", true, CALL)) },
    plain("fd_seek", true, CALL),
    plain("fd_sync", true, DISK),
    plain("fd_tell", true, QUICK),
    path("path_create_directory", true, NAMES, &[2]),
    path("path_filestat_get", true, LOOK, &[3]),
    path("path_filestat_set_times", true, LOOK, &[3]),
    path("path_link", true, NAMES, &[3, 6]),
    Offer { opens: Some(8), ..path("path_open", true, LOOK, &[3]) },
    Offer { opens: Some(9), ..path("path_open2", false, LOOK, &[3]) },
    path("path_readlink", true, LOOK, &[2]),
    path("path_remove_directory", true, NAMES, &[2]),
    path("path_rename", true, NAMES, &[2, 5]),
    path("path_symlink", true, NAMES, &[1, 4]),
    path("path_unlink_file", true, NAMES, &[2]),
    as_kind(Kind::Waits, plain("poll_oneoff", true, WAIT)),
    as_kind(Kind::Exit, plain("proc_exit", true, QUICK)),
    as_kind(Kind::Exit, plain("proc_exit2", false, QUICK)),
    plain("proc_id", false, QUICK),
    plain("proc_parent", false, QUICK),
    plain("proc_raise", true, CALL),
    plain("proc_signals_get", false, CALL),
    plain("proc_signals_sizes_get", false, QUICK),
    plain("random_get", true, CALL),
    plain("tty_get", false, QUICK),
    plain("getcwd", false, QUICK),
    path("chdir", false, LOOK, &[1]),
    as_kind(Kind::Nothing, plain("callback_signal", false, QUICK)),
    as_kind(Kind::Waits, plain("thread_sleep", false, WAIT)),
    plain("thread_id", false, QUICK),
    plain("thread_parallelism", false, QUICK),
    as_kind(Kind::Yield, plain("sched_yield", true, CALL)),
    as_kind(Kind::Waits, plain("futex_wait", false, WAIT)),
    plain("futex_wake", false, QUICK),
    plain("futex_wake_all", false, QUICK),
];

/// What is known of the function `name`, if it is offered.
pub(crate) fn offer(name: &str) -> Option<&'static Offer> {
    OFFERS.iter().find(|offer| offer.name == name)
}

/// Parameters of the function `name` that point to something larger than a byte, and what they must be multiples
/// of: the alignment of preview 1's own description.
pub(crate) const fn aligned(name: &str) -> &'static [(usize, u32)] {
    match name.as_bytes() {
        b"args_get"
        | b"environ_get"
        | b"proc_id"
        | b"proc_signals_sizes_get"
        | b"tty_get"
        | b"thread_id"
        | b"thread_parallelism"
        | b"futex_wake"
        | b"futex_wake_all" => &[(0, 4)],
        b"args_sizes_get" | b"environ_sizes_get" => &[(0, 4), (1, 4)],
        b"clock_res_get" | b"fd_fdstat_get" | b"fd_filestat_get" | b"fd_tell" => &[(1, 8)],
        b"clock_time_get" => &[(2, 8)],
        b"fd_dup" | b"fd_prestat_get" | b"proc_parent" | b"getcwd" => &[(1, 4)],
        b"fd_dup2" => &[(3, 4)],
        b"fd_fdflags_get" => &[(1, 2)],
        b"fd_read" | b"fd_write" => &[(1, 4), (3, 4)],
        b"fd_pread" | b"fd_pwrite" => &[(1, 4), (4, 4)],
        b"fd_readdir" => &[(4, 4)],
        b"fd_seek" => &[(3, 8)],
        b"path_filestat_get" => &[(4, 8)],
        b"path_open" => &[(8, 4)],
        b"path_open2" => &[(9, 4)],
        b"path_readlink" => &[(5, 4)],
        b"poll_oneoff" => &[(0, 8), (1, 8), (3, 4)],
        b"futex_wait" => &[(0, 4), (2, 8)],
        _ => &[],
    }
}
