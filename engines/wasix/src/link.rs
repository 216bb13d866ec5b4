//! [`imports`]: every offered function as a neutral host function, for the guest's own store.
//!
//! So the guest is a guest like any other: prepared, metered, capped and ended by its adapter. What this adds to
//! a call is a loan of the guest's memory, checks of what wasmer-wasix would take on trust, and the streams.

use std::any::Any;
use std::sync::Arc;

use cofferdam_engine::{Caller, FuncType, HostError, HostFunc, HostPrice, Imports, ValType, Value, Wake};

use crate::descriptors::Opening;
use crate::guest::{Config, Ended, Wasix, WasixError, errno};
use crate::names::{Kind, MODULE, OFFERS, Offer, PREVIEW1, aligned};
use crate::streams::Stream;

/// Fuel for each byte of a path, as in preview 1.
const PATH_BYTE_PRICE: u64 = 30;
/// Fuel for each element of a list.
const ELEMENT_PRICE: u64 = 60;
/// Bytes that are read ahead from standard input at a time.
const READ_AHEAD: usize = 64 << 10;

/// What the runtime gives to the functions: where it keeps a guest's [`Wasix`], and its streams.
pub trait Host: 'static {
    /// What the runtime keeps for a guest.
    type State: Any;

    /// Where it keeps WASIX for it.
    fn slot(state: &mut Self::State) -> &mut Option<Box<Wasix>>;

    /// Writes all of `bytes`, waiting if it must. The number is an error for the guest.
    ///
    /// # Errors
    /// What ends the guest.
    fn write(caller: &mut Caller<'_>, stream: Stream, bytes: &[u8]) -> Result<Result<(), u16>, HostError>;

    /// Reads at most `most` bytes of standard input, waiting for at least one; none at its end. The number is an
    /// error for the guest.
    ///
    /// # Errors
    /// What ends the guest.
    fn read(caller: &mut Caller<'_>, most: usize) -> Result<Result<Vec<u8>, u16>, HostError>;

    /// Pays for what files had to do beyond the price of a call.
    ///
    /// # Errors
    /// What ends the guest.
    fn settle(caller: &mut Caller<'_>) -> Result<(), HostError>;
}

/// Every offered function of WASIX and preview 1.
///
/// # Errors
/// wasmer-wasix has not what it should have.
pub fn imports<H: Host>() -> Result<Imports, WasixError> {
    let prototype = Wasix::new(Config::default())?;
    let mut imports = Imports::new();
    for module in [MODULE, PREVIEW1] {
        for offer in OFFERS.iter().filter(|offer| module == MODULE || offer.preview1) {
            let missing = || WasixError::SetUp(format!("there is no `{module}.{}`", offer.name));
            let function = prototype.function(module, offer.name).ok_or_else(missing)?;
            let ty = neutral(&prototype.type_of(&function)).ok_or_else(missing)?;
            let body = move |caller: &mut Caller<'_>, params: &[Value], results: &mut [Value]| {
                invoke::<H>(module, offer, caller, params, results)
            };
            let price = HostPrice { base: offer.fuel, per_256_bytes: HostPrice::V1.per_256_bytes };
            imports.host(module, offer.name, HostFunc::new(ty, body).priced(price));
        }
    }
    Ok(imports)
}

fn neutral(ty: &wasmer::FunctionType) -> Option<FuncType> {
    let list = |types: &[wasmer::Type]| {
        let neutral = types.iter().map(|ty| match ty {
            wasmer::Type::I32 => Some(ValType::I32),
            wasmer::Type::I64 => Some(ValType::I64),
            _ => None,
        });
        neutral.collect::<Option<Vec<_>>>()
    };
    Some(FuncType::new(list(ty.params())?, list(ty.results())?))
}

/// Runs `offer` for the calling guest.
fn invoke<H: Host>(
    module: &'static str,
    offer: &'static Offer,
    caller: &mut Caller<'_>,
    params: &[Value],
    results: &mut [Value],
) -> Result<(), HostError> {
    match offer.kind {
        Kind::Exit => return Err(HostError::Exit(word(params, 0))),
        Kind::Yield => {
            caller.give_turn()?;
            return Ok(());
        }
        Kind::Nothing => return Ok(()),
        Kind::Plain | Kind::Waits | Kind::Closes | Kind::Renumbers | Kind::Sets => {}
    }
    let none = || HostError::failed("the guest calls WASIX, and its state was made without it");
    // Taken out, because its streams need the caller. It is back before the guest runs again; if a function
    // panics it is lost, and so is the guest.
    let mut wasix = H::slot(caller.state::<H::State>()?).take().ok_or_else(none)?;
    let called = Call { module, offer, params }.run::<H>(caller, &mut wasix);
    *H::slot(caller.state::<H::State>()?) = Some(wasix);
    for (to, from) in results.iter_mut().zip(called?) {
        *to = from;
    }
    H::settle(caller)
}

fn word(params: &[Value], at: usize) -> u32 {
    params.get(at).and_then(Value::i32).map_or(0, i32::cast_unsigned)
}

fn only(errno: i32) -> Vec<Value> {
    vec![Value::I32(errno)]
}

struct Call<'a> {
    module: &'static str,
    offer: &'static Offer,
    params: &'a [Value],
}

impl Call<'_> {
    fn run<H: Host>(&self, caller: &mut Caller<'_>, wasix: &mut Wasix) -> Result<Vec<Value>, HostError> {
        if let Some(errno) = self.checked(caller, wasix)? {
            return Ok(only(errno));
        }
        let opening = self.opening(caller, wasix);
        if let Some((opening, fd)) = opening.and_then(|opening| Some((opening, wasix.descriptors.kept(&opening)?)))
            && caller.write(word(self.params, 8), &fd.to_le_bytes()).is_ok()
        {
            wasix.descriptors.take(&opening);
            return Ok(only(errno::SUCCESS));
        }
        let missing = || HostError::failed("wasmer-wasix lost one of its functions");
        let function = wasix.function(self.module, self.offer.name).ok_or_else(missing)?;
        loop {
            wasix.allowance.renew();
            let ended = match self.offer.kind {
                Kind::Renumbers if self.module == PREVIEW1 => {
                    wasix.renumber(word(self.params, 0), word(self.params, 1))
                }
                _ => self.lending::<H>(caller, wasix, &function)?,
            };
            caller.charge_bytes(wasix.allowance.moved() as u64)?;
            let (written, starved) = {
                let mut queues = wasix.queues.lock();
                (std::mem::take(&mut queues.written), std::mem::take(&mut queues.starved))
            };
            for (stream, bytes) in written {
                if let Err(errno) = H::write(caller, stream, &bytes)? {
                    return Ok(only(i32::from(errno)));
                }
            }
            let results = match ended {
                Ended::Returned(results) => results,
                Ended::Exit(code) => {
                    // It was ended because its time is up, or ends itself.
                    caller.check()?;
                    return Err(HostError::Exit(code));
                }
                Ended::Failed(why) => return Err(HostError::failed(why)),
            };
            let failed = results.first().and_then(Value::i32).is_some_and(|errno| errno != 0);
            if starved && failed {
                match H::read(caller, READ_AHEAD)? {
                    Ok(bytes) => {
                        let mut queues = wasix.queues.lock();
                        queues.ended = bytes.is_empty();
                        queues.input.extend(bytes);
                    }
                    Err(errno) => return Ok(only(i32::from(errno))),
                }
                continue;
            }
            if !failed {
                self.note(caller, wasix, opening);
            }
            return Ok(results);
        }
    }

    /// How a directory that was given is opened by this call, if that is what it does.
    fn opening(&self, caller: &Caller<'_>, wasix: &Wasix) -> Option<Opening> {
        if self.offer.name != "path_open" {
            return None;
        }
        let path = caller.bytes(word(self.params, 2), word(self.params, 3)).ok()?;
        let number = |at: usize| match self.params.get(at) {
            Some(Value::I32(number)) => i64::from(number.cast_unsigned()),
            Some(Value::I64(number)) => *number,
            _ => 0,
        };
        wasix.descriptors.opening([0, 1, 4, 5, 6, 7].map(number), path)
    }

    /// Keeps the books of descriptors after the call succeeded.
    fn note(&self, caller: &Caller<'_>, wasix: &mut Wasix, opening: Option<Opening>) {
        if let Some(opened) = self.offer.opens.and_then(|at| caller.array(word(self.params, at)).ok()) {
            wasix.descriptors.opened(u32::from_le_bytes(opened), opening);
        }
        match self.offer.kind {
            Kind::Closes => wasix.closed(word(self.params, 0)),
            Kind::Renumbers => wasix.descriptors.opened(word(self.params, 1), None),
            Kind::Sets => wasix.descriptors.changed(word(self.params, 0)),
            _ => {}
        }
    }

    /// Calls `function` with the guest's memory lent to it.
    fn lending<H: Host>(
        &self,
        caller: &mut Caller<'_>,
        wasix: &mut Wasix,
        function: &wasmer::Function,
    ) -> Result<Ended, HostError> {
        let (_, memory) = caller.state_and_memory::<H::State>()?;
        let (base, len) = (memory.as_mut_ptr(), memory.len());
        let lent = wasix.lent();
        // SAFETY: the bytes are the guest's memory, which is the caller's alone while a host function runs; from
        // here to the end of the loan nothing uses the caller's memory, only its clock.
        let _loan = unsafe { Wasix::lend(&lent, base, len) };
        if self.offer.kind != Kind::Waits {
            return Ok(wasix.call(function, self.params));
        }
        let (deadline, cancel) = (caller.deadline(), caller.cancel_handle());
        // Others have the turn meanwhile.
        caller.wait(Wake::Unpark, || Some(wasix.call_waiting(function, self.params, deadline, cancel.clone())))
    }

    /// Looks at what wasmer-wasix would take on trust. The number is an error for the guest.
    fn checked(&self, caller: &mut Caller<'_>, wasix: &mut Wasix) -> Result<Option<i32>, HostError> {
        let Offer { iovs, paths, bytes, opens, chosen, .. } = self.offer;
        // Wasmer makes references to what lies in memory, which is undefined behaviour where it is not aligned.
        let lies = |(at, alignment): &(usize, u32)| word(self.params, *at).is_multiple_of(*alignment);
        if !aligned(self.offer.name).iter().all(lies) {
            return Ok(Some(errno::INVALID));
        }
        // wasmer-wasix makes room for every number below.
        if chosen.is_some_and(|at| word(self.params, at) >= wasix.limits.open_files) {
            return Ok(Some(errno::BAD_FD));
        }
        if let Some(at) = iovs {
            let count = word(self.params, *at);
            if count > wasix.limits.iovs {
                return Ok(Some(errno::INVALID));
            }
            caller.charge(u64::from(count) * ELEMENT_PRICE)?;
        }
        for at in *paths {
            let (ptr, len) = (word(self.params, at - 1), word(self.params, *at));
            if len > wasix.limits.path_bytes {
                return Ok(Some(errno::NAME_TOO_LONG));
            }
            caller.charge(u64::from(len) * PATH_BYTE_PRICE)?;
            // One that is outside of the memory is wasmer-wasix's to refuse.
            if caller.bytes(ptr, len).is_ok_and(|path| !wasix.look(path)) {
                return Ok(Some(errno::SYSTEM_TOO_MANY_OPEN));
            }
        }
        if let Some(at) = bytes {
            caller.charge_bytes(u64::from(word(self.params, *at)))?;
        }
        let cookie = self.params.get(3).and_then(Value::i64);
        if self.offer.name == "fd_readdir" && cookie.is_some_and(|cookie| !(0..1 << 32).contains(&cookie)) {
            return Ok(Some(errno::INVALID));
        }
        if self.offer.name == "poll_oneoff" {
            caller.charge(u64::from(word(self.params, 2).min(1 << 16)) * ELEMENT_PRICE)?;
        }
        if opens.is_some() && !wasix.has_room() {
            return Ok(Some(errno::TOO_MANY_OPEN));
        }
        Ok(None)
    }
}

/// For tests and documentation: the offered names of `module`.
#[must_use]
pub fn offered(module: &str) -> Vec<&'static str> {
    OFFERS.iter().filter(|o| module == MODULE || module == PREVIEW1 && o.preview1).map(|o| o.name).collect()
}

/// One of the offered functions, by its own code in the runtime instead of wasmer-wasix's.
pub fn replace(imports: &mut Imports, name: &str, func: &Arc<HostFunc>) {
    for module in [MODULE, PREVIEW1] {
        imports.define(module, name, cofferdam_engine::Import::Host(func.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::{MODULE_64, Permission, Standing, standing};

    #[test]
    fn whatever_wasmer_wasix_has_was_looked_at() {
        let all = Wasix::new(Config::default()).expect("nothing special is asked");
        for module in [MODULE, PREVIEW1] {
            let names = all.all_names(module);
            assert!(names.len() > 40, "{module}: {names:?}");
            for name in &names {
                assert!(standing(module, name).is_some(), "`{module}.{name}` is new: offer it or say why not");
            }
            for name in offered(module) {
                assert!(names.iter().any(|known| known == name), "`{module}.{name}` is gone");
                assert_eq!(standing(module, name), Some(Standing::Offered));
            }
        }
        assert!(matches!(standing(MODULE_64, "fd_write"), Some(Standing::Never(_))));
        assert_eq!(standing("env", "fd_write"), None);
        assert_eq!(standing(MODULE, "nothing"), None);
    }

    #[test]
    fn every_permission_keeps_something_away() {
        let all = Wasix::new(Config::default()).expect("nothing special is asked");
        let names = all.all_names(MODULE);
        for permission in Permission::ALL {
            assert!(names.iter().any(|name| standing(MODULE, name) == Some(Standing::Needs(*permission))));
        }
        let offered = imports_offered();
        for name in names.iter().filter(|name| standing(MODULE, name) != Some(Standing::Offered)) {
            assert!(offered.get(MODULE, name).is_none(), "`{name}` is not to be linked");
        }
    }

    struct Nobody;

    impl Host for Nobody {
        type State = Option<Box<Wasix>>;

        fn slot(state: &mut Self::State) -> &mut Option<Box<Wasix>> {
            state
        }

        fn write(_: &mut Caller<'_>, _: Stream, _: &[u8]) -> Result<Result<(), u16>, HostError> {
            Err(HostError::failed("not in this test"))
        }

        fn read(_: &mut Caller<'_>, _: usize) -> Result<Result<Vec<u8>, u16>, HostError> {
            Err(HostError::failed("not in this test"))
        }

        fn settle(_: &mut Caller<'_>) -> Result<(), HostError> {
            Ok(())
        }
    }

    fn imports_offered() -> Imports {
        imports::<Nobody>().expect("all of it is there")
    }
}
