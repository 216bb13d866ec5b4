//! [`ModuleLimits`]: how large a module may be, checked while it is parsed and before anything is allocated
//! for it. They bound what validating, rewriting and compiling a hostile module can cost.

use serde::{Deserialize, Serialize};

use crate::refusal::Refusal;

macro_rules! module_limits {
    ($($(#[$doc:meta])* $field:ident = $default:expr, $unit:literal;)*) => {
        /// How large a module may be. Every cap is inclusive.
        ///
        /// ```
        /// use cofferdam_prepare::ModuleLimits;
        /// let small = ModuleLimits { module_bytes: 1 << 20, ..ModuleLimits::default() };
        /// assert!(small.module_bytes < ModuleLimits::default().module_bytes);
        /// ```
        #[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct ModuleLimits {
            $($(#[$doc])* pub $field: u64,)*
        }

        impl Default for ModuleLimits {
            /// The contract's bound: the worst module that they accept compiles within about 10 s on two cores
            /// with an optimising compiler. The large programs of today (language runtimes, databases) pass,
            /// but for a few such as CRuby, for which `compile_work` has to be raised.
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }

        impl ModuleLimits {
            /// Name and unit of every limit, in listing order.
            pub const ALL: &'static [(&'static str, &'static str)] = &[$((stringify!($field), $unit),)*];

            /// The cap called `name`, for settings that come as text.
            #[must_use]
            pub fn get(&self, name: &str) -> Option<u64> {
                match name {
                    $(stringify!($field) => Some(self.$field),)*
                    _ => None,
                }
            }

            /// Sets the cap called `name`; false if there is none.
            pub fn set(&mut self, name: &str, cap: u64) -> bool {
                match name {
                    $(stringify!($field) => self.$field = cap,)*
                    _ => return false,
                }
                true
            }

            $(
                pub(crate) fn $field(&self, need: u64, offset: u64) -> Result<(), Refusal> {
                    check(stringify!($field), $unit, need, self.$field, offset)
                }
            )*
        }
    };
}

module_limits! {
    /// Size of the whole module.
    module_bytes = 50 << 20, "bytes of module";
    /// Size of a module in text form. Reading text takes about 30 times its size in memory, and text is
    /// what people and tests write, not what toolchains ship.
    text_bytes = 4 << 20, "bytes of text";
    /// Types declared.
    types = 20_000, "types";
    /// Functions, imported and defined.
    functions = 50_000, "functions";
    /// Imports of every kind.
    imports = 10_000, "imports";
    /// Exports of every kind. Toolchains that export every function reach some thousands.
    exports = 50_000, "exports";
    /// Globals, imported and defined.
    globals = 50_000, "globals";
    /// Tables, imported and defined.
    tables = 100, "tables";
    /// Linear memories, imported and defined. Engines set aside gigabytes of address space for each.
    memories = 16, "memories";
    /// Exception tags, imported and defined.
    tags = 1_000, "exception tags";
    /// Parameters and locals of one function: the 50,000 that the JavaScript embedding and every engine
    /// share, less the four that rewriting may add.
    locals = 49_996, "parameters and locals in one function";
    /// Locals over all functions. Compilers keep tables for each, however few bytes declare them.
    total_locals = 3_000_000, "locals over all functions";
    /// Size of one function's body: the limit that the JavaScript embedding and every engine share.
    function_bytes = 7_654_321, "bytes in one function";
    /// Size of all function bodies together.
    code_bytes = 32 << 20, "bytes of code";
    /// Estimated time to compile all of it on one core: 10 s on two cores, as the estimate is rather high than
    /// low. CPython needs 12,000,000; CRuby, 42,000,000, has to be allowed.
    compile_work = 25_000_000, "microseconds of compiling";
    /// Estimated time to compile one function, which cores cannot share. The largest functions of language
    /// runtimes need about 2,000,000.
    function_work = 10_000_000, "microseconds of compiling one function";
    /// Blocks within blocks. A `switch` becomes one for each case.
    nesting = 5_000, "nested blocks";
    /// Targets of one `br_table`: what Wasmtime and the browsers' engines take. A policy cannot have more than
    /// that, see [`ModuleLimits::BR_TABLE_TARGETS`].
    br_table_targets = ModuleLimits::BR_TABLE_TARGETS, "targets of one br_table";
    /// Targets of all `br_table`s together.
    total_br_table_targets = 1_000_000, "targets of all br_tables";
    /// Data segments. Programs of today have up to 53,000 (Go, with one for each run of bytes that are not zero).
    data_segments = 100_000, "data segments";
    /// Element segments.
    element_segments = 10_000, "element segments";
    /// Items of all element segments together.
    element_items = 1_000_000, "items in element segments";
    /// Bytes that a module's memories start with, together. The store's cap on memory is checked as well,
    /// when an instance is made.
    memory_minimum_bytes = 4 << 30, "bytes of memory at start";
    /// Elements that a module's tables start with, together.
    table_minimum = 10_000_000, "table elements at start";
    /// Bytes of one name of an import or export.
    name_bytes = 4_096, "bytes in one name";
    /// Custom sections, which are skipped but for the function names.
    custom_sections = 1_000, "custom sections";
}

impl ModuleLimits {
    /// The most that `br_table_targets` may be: Cranelift 0.135.0 makes wrong jumps of larger tables on
    /// aarch64 (from about 262,000 on), and Wasmtime 48.0.8 refuses more than this.
    pub const BR_TABLE_TARGETS: u64 = 65_520;
}

fn check(limit: &'static str, unit: &'static str, need: u64, cap: u64, offset: u64) -> Result<(), Refusal> {
    if need > cap {
        return Err(Refusal::Limit { limit, unit, need, cap, offset });
    }
    Ok(())
}
