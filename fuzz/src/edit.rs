//! A module taken apart so that function bodies and exports can be changed, and put together again.

use anyhow::Context;
use cofferdam_engine::FeatureSet;
use wasm_encoder as encoder;
use wasm_encoder::reencode::{Reencode, RoundtripReencoder};
use wasm_encoder::{Encode, Instruction};
use wasmparser::{Parser, Payload, Validator};

/// Ids of the sections that are looked into.
const EXPORTS: u8 = 7;
const CODE: u8 = 10;

/// One function body.
#[derive(Clone, Debug)]
pub struct Body<'a> {
    /// Locals beside the parameters, by runs of one type.
    pub locals: Vec<(u32, encoder::ValType)>,
    /// Its code, without the last `end`.
    pub code: Vec<Instruction<'a>>,
    /// Parameters of its type.
    pub params: u32,
}

/// A section: what is not looked into is kept as it is.
#[derive(Clone, Debug)]
enum Section<'a> {
    Raw(u8, &'a [u8]),
    Exports,
    Code,
}

/// An export: name, kind, index.
pub type Export<'a> = (&'a str, encoder::ExportKind, u32);

/// A module in parts.
#[derive(Clone, Debug)]
pub struct Parts<'a> {
    sections: Vec<Section<'a>>,
    /// Its exports.
    pub exports: Vec<Export<'a>>,
    /// Its function bodies.
    pub bodies: Vec<Body<'a>>,
    /// Function imports, which come before the bodies in the index space.
    pub imported_functions: u32,
    /// All functions.
    pub functions: u32,
}

impl<'a> Parts<'a> {
    /// Takes `module` apart. Custom sections are left out.
    ///
    /// # Errors
    /// It is no module, or holds what cannot be written again.
    pub fn read(module: &'a [u8]) -> anyhow::Result<Self> {
        let mut parts =
            Self { sections: Vec::new(), exports: Vec::new(), bodies: Vec::new(), imported_functions: 0, functions: 0 };
        let mut same = RoundtripReencoder;
        let (mut params, mut types) = (Vec::new(), Vec::new());
        for payload in Parser::new(0).parse_all(module) {
            let payload = payload?;
            match &payload {
                Payload::CustomSection(_) => continue,
                Payload::TypeSection(section) => {
                    for group in section.clone() {
                        for ty in group?.into_types() {
                            params.push(match &ty.composite_type.inner {
                                wasmparser::CompositeInnerType::Func(func) => func.params().len() as u32,
                                _ => 0,
                            });
                        }
                    }
                }
                Payload::ImportSection(section) => {
                    for import in section.clone().into_imports() {
                        if matches!(import?.ty, wasmparser::TypeRef::Func(_) | wasmparser::TypeRef::FuncExact(_)) {
                            parts.imported_functions += 1;
                        }
                    }
                }
                Payload::FunctionSection(section) => {
                    types = section.clone().into_iter().collect::<Result<_, _>>()?;
                }
                Payload::ExportSection(section) => {
                    for export in section.clone() {
                        let export = export?;
                        parts.exports.push((export.name, same.export_kind(export.kind)?, export.index));
                    }
                    parts.sections.push(Section::Exports);
                    continue;
                }
                Payload::CodeSectionStart { .. } => {
                    parts.sections.push(Section::Code);
                    continue;
                }
                Payload::CodeSectionEntry(body) => {
                    let mut locals = Vec::new();
                    for run in body.get_locals_reader()? {
                        let (count, ty) = run?;
                        locals.push((count, same.val_type(ty)?));
                    }
                    let mut code = Vec::new();
                    for op in body.get_operators_reader()? {
                        code.push(same.instruction(op?)?);
                    }
                    code.pop();
                    let ty = types.get(parts.bodies.len()).copied().unwrap_or(0u32);
                    let params = params.get(ty as usize).copied().unwrap_or(0);
                    parts.bodies.push(Body { locals, code, params });
                    continue;
                }
                _ => {}
            }
            if let Some((id, range)) = payload.as_section() {
                let data = module.get(range.start as usize..range.end as usize).context("a section past the end")?;
                parts.sections.push(Section::Raw(id, data));
            }
        }
        parts.functions = parts.imported_functions + parts.bodies.len() as u32;
        Ok(parts)
    }

    /// Ids of the sections that are kept as they are.
    #[must_use]
    pub fn raw_sections(&self) -> Vec<u8> {
        let raw = self.sections.iter().filter_map(|s| if let Section::Raw(id, _) = s { Some(*id) } else { None });
        raw.collect()
    }

    /// Leaves out the section `id`.
    pub fn drop_section(&mut self, id: u8) {
        self.sections.retain(|section| !matches!(section, Section::Raw(other, _) if *other == id));
    }

    /// The module, put together.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let mut module = encoder::Module::new();
        for section in &self.sections {
            match section {
                Section::Raw(id, data) => {
                    module.section(&encoder::RawSection { id: *id, data });
                }
                Section::Exports => {
                    let mut exports = encoder::ExportSection::new();
                    for (name, kind, index) in &self.exports {
                        exports.export(name, *kind, *index);
                    }
                    debug_assert_eq!(encoder::Section::id(&exports), EXPORTS);
                    module.section(&exports);
                }
                Section::Code => {
                    let mut code = encoder::CodeSection::new();
                    for body in &self.bodies {
                        let mut bytes = Vec::new();
                        (body.locals.len() as u32).encode(&mut bytes);
                        for (count, ty) in &body.locals {
                            count.encode(&mut bytes);
                            ty.encode(&mut bytes);
                        }
                        body.code.iter().for_each(|op| op.encode(&mut bytes));
                        Instruction::End.encode(&mut bytes);
                        code.raw(&bytes);
                    }
                    debug_assert_eq!(encoder::Section::id(&code), CODE);
                    module.section(&code);
                }
            }
        }
        module.finish()
    }
}

/// Whether `module` is valid with `features`.
#[must_use]
pub fn is_valid(module: &[u8], features: FeatureSet) -> bool {
    Validator::new_with_features(features.validator()).validate_all(module).is_ok()
}
