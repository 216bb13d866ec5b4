//! Sockets: no guest is ever given one, so every descriptor is either not open or no socket.

use cofferdam_engine::Caller;

use super::errno::{Done, Errno};
use super::state::WasiState;

pub(super) fn sock_accept(caller: &mut Caller<'_>, fd: u32, _flags: u32, _out: u32) -> Done {
    no_socket(caller, fd)
}

pub(super) fn sock_recv(
    caller: &mut Caller<'_>,
    fd: u32,
    _iovs: u32,
    _count: u32,
    _flags: u32,
    _size: u32,
    _out: u32,
) -> Done {
    no_socket(caller, fd)
}

pub(super) fn sock_send(caller: &mut Caller<'_>, fd: u32, _iovs: u32, _count: u32, _flags: u32, _out: u32) -> Done {
    no_socket(caller, fd)
}

pub(super) fn sock_shutdown(caller: &mut Caller<'_>, fd: u32, _how: u32) -> Done {
    no_socket(caller, fd)
}

fn no_socket(caller: &mut Caller<'_>, fd: u32) -> Done {
    WasiState::of(caller)?.descriptors.get(fd)?;
    Err(Errno::NotSocket.into())
}
