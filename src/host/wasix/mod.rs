//! WASIX, by the crate `cofferdam-wasix`, in builds with the cargo feature `wasix`: what of it a guest is linked
//! with, what is refused and why, and how it stands on the files and streams of our own WASI.

#[cfg(feature = "wasix")]
mod bridge;

use crate::policy::SecurityPolicy;
use crate::policy::wasix::{BUILT, MODULES, WasixPermission};

#[cfg(feature = "wasix")]
pub(crate) use bridge::{HOST_BYTES, imports, state};

/// Every import that a WASIX program is offered: module, name and type, in order. None if the crate `wasmer-wasix`
/// is not as expected.
#[cfg(feature = "wasix")]
#[must_use]
pub fn known_imports() -> Vec<(String, String, cofferdam_engine::FuncType)> {
    let Ok(imports) = imports() else { return Vec::new() };
    let functions = imports.iter().filter_map(|(module, name, import)| match import {
        cofferdam_engine::Import::Host(func) => Some((module.to_owned(), name.to_owned(), func.ty().clone())),
        cofferdam_engine::Import::Extern(_) => None,
    });
    let mut all: Vec<_> = functions.collect();
    all.sort_unstable_by(|(am, an, _), (bm, bn, _)| (am, an).cmp(&(bm, bn)));
    all
}

/// The permission that the function `name` of `module` needs, if it is one of those that need one.
#[cfg(feature = "wasix")]
pub(crate) fn needs(module: &str, name: &str) -> Option<WasixPermission> {
    match cofferdam_wasix::standing(module, name)? {
        cofferdam_wasix::Standing::Needs(permission) => permission.name().parse().ok(),
        _ => None,
    }
}

/// The permission that the function `name` of `module` needs, if it is one of those that need one.
#[cfg(not(feature = "wasix"))]
pub(crate) fn needs(_: &str, _: &str) -> Option<WasixPermission> {
    None
}

/// Why `module.name` is not linked under `policy`, where that is about WASIX.
pub(crate) fn refusal(module: &str, name: &str, policy: &SecurityPolicy) -> Option<String> {
    if policy.wasix.is_none() || !BUILT {
        let own = MODULES.contains(&module);
        let why = if BUILT {
            "is WASIX, which this guest is not given; `--wasi wasix` does"
        } else {
            "is WASIX, which this build leaves out; build it with `--features wasix`"
        };
        return own.then(|| why.to_owned());
    }
    standing(module, name)
}

#[cfg(feature = "wasix")]
fn standing(module: &str, name: &str) -> Option<String> {
    use cofferdam_wasix::Standing;
    match cofferdam_wasix::standing(module, name)? {
        Standing::Offered => None,
        Standing::Needs(permission) => Some(format!(
            "needs the WASIX permission `{permission}` (`--wasix {permission}`), which cannot be given at present: {}",
            permission.why_not(),
            permission = permission.name(),
        )),
        Standing::Never(why) => Some(format!("is not offered: {why}")),
    }
}

#[cfg(not(feature = "wasix"))]
fn standing(_: &str, _: &str) -> Option<String> {
    None
}

#[cfg(all(test, feature = "wasix"))]
mod tests {
    use super::*;

    #[test]
    fn permissions_have_one_set_of_names() {
        let theirs: Vec<_> = cofferdam_wasix::Permission::ALL.iter().map(|p| p.name()).collect();
        let ours: Vec<_> = WasixPermission::ALL.iter().map(|p| p.name()).collect();
        assert_eq!(ours, theirs);
        for name in ours {
            assert_eq!(name.parse::<WasixPermission>().map(WasixPermission::name), Ok(name));
        }
        assert_eq!(MODULES, [cofferdam_wasix::MODULE, cofferdam_wasix::MODULE_64]);
    }
}
