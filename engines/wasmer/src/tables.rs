//! Which tables may keep the layout that Wasmer gives to tables of fixed size.
//!
//! Wasmer copies a `funcref` table whose minimum equals its maximum into its instance, and calls through
//! the copy. Writes by other instances or by the host never reach the copy, writes by the instance itself
//! renew all of it, whatever their length, and a large table overflows the arithmetic of the layout. The
//! layout is sound and fast for a table that nobody writes after it was made, which is what compilers of
//! C, C++ and Rust emit. Every other table is told to be growable, and its real maximum is kept here.

use cofferdam_engine::EngineFault;
use wasmer::sys::{FunctionMiddleware, MiddlewareError, ModuleMiddleware};
use wasmer::wasmparser::{BinaryReaderError, ElementItems, ExternalKind, Operator, Parser, Payload, TypeRef};
use wasmer_types::entity::EntityRef;
use wasmer_types::{LocalFunctionIndex, ModuleInfo, TableIndex, TableType};

/// Above this many elements a copy in every instance costs more than it gains.
const LARGEST_COPY: u32 = 65_536;

/// Types of the tables that a module defines, as it declares them.
#[derive(Debug, Default)]
pub(crate) struct Declared {
    /// Tables that are imported; the defined ones count on from here.
    pub imported: usize,
    /// Minimum and maximum of each defined table.
    pub limits: Vec<(u32, Option<u32>)>,
    funcref: Vec<bool>,
    /// Whether an element segment reads a global, which Wasmer's translator does not take.
    pub reads_globals: bool,
}

impl Declared {
    /// Reads the declarations of `module`, which was validated.
    pub fn read(module: &[u8]) -> Result<Self, EngineFault> {
        let mut all = Self::default();
        for payload in Parser::new(0).parse_all(module) {
            match payload.map_err(unreadable)? {
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        all.imported += usize::from(matches!(import.map_err(unreadable)?.ty, TypeRef::Table(_)));
                    }
                }
                Payload::TableSection(section) => {
                    for table in section {
                        let ty = table.map_err(unreadable)?.ty;
                        let narrow = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
                        all.limits.push((narrow(ty.initial), ty.maximum.map(narrow)));
                        all.funcref.push(ty.element_type.is_func_ref());
                    }
                }
                Payload::ElementSection(section) => {
                    for segment in section {
                        let ElementItems::Expressions(_, items) = segment.map_err(unreadable)?.items else { continue };
                        for item in items {
                            let first = item.map_err(unreadable)?.get_operators_reader().read();
                            all.reads_globals |= matches!(first.map_err(unreadable)?, Operator::GlobalGet { .. });
                        }
                    }
                }
                // Tables and elements stand before code in every module.
                Payload::CodeSectionStart { .. } => break,
                _ => {}
            }
        }
        Ok(all)
    }

    /// The type of a defined table, with its real maximum put back into what Wasmer was told.
    pub fn restore(&self, index: TableIndex, told: TableType) -> TableType {
        match index.index().checked_sub(self.imported).and_then(|i| self.limits.get(i)) {
            Some((_, maximum)) => TableType { maximum: *maximum, ..told },
            None => told,
        }
    }

    /// The tables of `module` that must not have the fixed layout. `bulk` says whether the module may
    /// hold operators that write tables at all.
    pub fn to_loosen(&self, module: &[u8], bulk: bool) -> Result<Vec<TableIndex>, EngineFault> {
        let fixed = |i: usize| self.funcref[i] && self.limits[i].1 == Some(self.limits[i].0);
        let mut written = vec![false; self.limits.len()];
        if !(0..written.len()).any(fixed) {
            return Ok(Vec::new());
        }
        let mut write = |index: u32| {
            if let Some(w) = (index as usize).checked_sub(self.imported).and_then(|i| written.get_mut(i)) {
                *w = true;
            }
        };
        for payload in Parser::new(0).parse_all(module) {
            match payload.map_err(unreadable)? {
                Payload::ExportSection(section) => {
                    for export in section {
                        let export = export.map_err(unreadable)?;
                        if export.kind == ExternalKind::Table {
                            write(export.index);
                        }
                    }
                }
                Payload::CodeSectionStart { .. } if !bulk => break,
                Payload::CodeSectionEntry(body) => {
                    for operator in body.get_operators_reader().map_err(unreadable)? {
                        match operator.map_err(unreadable)? {
                            Operator::TableSet { table }
                            | Operator::TableGrow { table }
                            | Operator::TableFill { table }
                            | Operator::TableInit { table, .. }
                            | Operator::TableCopy { dst_table: table, .. } => write(table),
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        let loosen = |i: &usize| fixed(*i) && (written[*i] || self.limits[*i].0 > LARGEST_COPY);
        Ok((0..written.len()).filter(loosen).map(|i| TableIndex::new(self.imported + i)).collect())
    }
}

fn unreadable(e: BinaryReaderError) -> EngineFault {
    EngineFault::new("reading the tables of a prepared module", e)
}

/// Tells Wasmer that some tables have no maximum.
#[derive(Debug)]
pub(crate) struct LooseTables(pub Vec<TableIndex>);

impl ModuleMiddleware for LooseTables {
    fn generate_function_middleware<'a>(&self, _: LocalFunctionIndex) -> Box<dyn FunctionMiddleware<'a> + 'a> {
        Box::new(Unchanged)
    }

    fn transform_module_info(&self, module: &mut ModuleInfo) -> Result<(), MiddlewareError> {
        for index in &self.0 {
            if let Some(table) = module.tables.get_mut(*index) {
                table.maximum = None;
            }
        }
        Ok(())
    }
}

#[derive(Debug)]
struct Unchanged;

impl FunctionMiddleware<'_> for Unchanged {}

#[cfg(test)]
mod tests {
    use super::*;

    fn loosened(wat: &str) -> Vec<usize> {
        let module = wat::parse_str(wat).expect("the test's text is right");
        let declared = Declared::read(&module).expect("the module is valid");
        declared.to_loosen(&module, true).expect("the module is valid").iter().map(|i| i.index()).collect()
    }

    #[test]
    fn a_private_table_that_nobody_writes_stays_fixed() {
        let calls = "(func (param i32) (call_indirect (local.get 0)))";
        assert!(loosened(&format!("(module (table 2 2 funcref) {calls})")).is_empty());
        assert!(loosened(&format!("(module (table (export \"t\") 2 funcref) {calls})")).is_empty());
    }

    #[test]
    fn exported_written_and_huge_tables_do_not() {
        assert_eq!(loosened("(module (table (export \"t\") 2 2 funcref))"), [0]);
        assert_eq!(loosened("(module (table 100000 100000 funcref))"), [0]);
        let written = "(module (import \"m\" \"t\" (table 1 funcref)) (table 1 1 externref) (table 2 2 funcref)
            (func (table.set 2 (i32.const 0) (ref.null func))))";
        assert_eq!(loosened(written), [2]);
    }

    #[test]
    fn the_real_maximum_is_put_back() {
        let module =
            wat::parse_str("(module (import \"m\" \"t\" (table 1 funcref)) (table 2 5 funcref))").expect("right");
        let declared = Declared::read(&module).expect("the module is valid");
        let told = TableType::new(wasmer_types::Type::FuncRef, 2, None);
        assert_eq!(declared.restore(TableIndex::new(1), told).maximum, Some(5));
        assert_eq!(declared.restore(TableIndex::new(0), told).maximum, None);
    }
}
