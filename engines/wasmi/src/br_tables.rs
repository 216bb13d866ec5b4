//! Finds what Wasmi 2.0.0 translates wrongly: a `br_table` that carries several values, or a vector, past other
//! operands, to targets of one height. The values then stay where they were, and the target reads others.

use wasmparser::{
    BinaryReaderError, BlockType, CompositeInnerType, FuncValidator, FunctionBody, Operator, Parser, ValType,
    ValidPayload, Validator, ValidatorResources, WasmFeatures,
};

/// What a block takes and leaves, as far as it matters: whether one register holds all of it.
#[derive(Clone, Copy)]
struct Carries {
    params: bool,
    results: bool,
}

/// Whether Wasmi carries `types` over a branch in memory.
fn in_memory(types: &[ValType]) -> bool {
    types.len() > 1 || types.contains(&ValType::V128)
}

/// The first function of `module` that holds such a `br_table`.
pub(crate) fn carrying(module: &[u8], features: WasmFeatures) -> Result<Option<u32>, BinaryReaderError> {
    let mut validator = Validator::new_with_features(features);
    let mut types = Vec::new();
    let mut functions = Vec::new();
    let mut next = 0;
    let mut imported = 0;
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload?;
        match &payload {
            wasmparser::Payload::TypeSection(section) => {
                for ty in section.clone().into_iter_err_on_gc_types() {
                    let ty = ty?;
                    types.push(Carries { params: in_memory(ty.params()), results: in_memory(ty.results()) });
                }
                // Nothing can be carried that no type has.
                if !types.iter().any(|ty| ty.params || ty.results) && !features.simd() {
                    return Ok(None);
                }
            }
            wasmparser::Payload::ImportSection(section) => {
                for import in section.clone().into_imports() {
                    imported += u32::from(matches!(import?.ty, wasmparser::TypeRef::Func(_)));
                }
            }
            wasmparser::Payload::FunctionSection(section) => {
                functions = section.clone().into_iter().collect::<Result<_, _>>()?;
            }
            _ => {}
        }
        if let ValidPayload::Func(to_validate, body) = validator.payload(&payload)? {
            let own = functions.get(next as usize).and_then(|ty: &u32| types.get(*ty as usize)).copied();
            if may_carry(&body, own, &types)? {
                let mut function = to_validate.into_validator(Default::default());
                if carries(&body, &mut function)? {
                    return Ok(Some(imported + next));
                }
            }
            next += 1;
        }
    }
    Ok(None)
}

/// Whether some `br_table` of `body` carries values in memory at all: read from the blocks, without operands.
fn may_carry(body: &FunctionBody<'_>, own: Option<Carries>, types: &[Carries]) -> Result<bool, BinaryReaderError> {
    let mut labels = vec![own.is_none_or(|own| own.results)];
    let carries = |ty: BlockType, entry: bool| match ty {
        BlockType::Empty => false,
        BlockType::Type(ty) => !entry && ty == ValType::V128,
        BlockType::FuncType(ty) => types.get(ty as usize).is_none_or(|ty| if entry { ty.params } else { ty.results }),
    };
    for operator in body.get_operators_reader()? {
        match operator? {
            Operator::Block { blockty } | Operator::If { blockty } => labels.push(carries(blockty, false)),
            Operator::Loop { blockty } => labels.push(carries(blockty, true)),
            Operator::End => drop(labels.pop()),
            // All targets carry the same.
            Operator::BrTable { targets } => {
                let at = labels.len().checked_sub(targets.default() as usize + 1);
                if at.and_then(|at| labels.get(at)).is_none_or(|carries| *carries) {
                    return Ok(true);
                }
            }
            _ => {}
        }
    }
    Ok(false)
}

/// Whether some `br_table` of `body` carries values in memory past other operands, to targets of one height.
fn carries(
    body: &FunctionBody<'_>,
    function: &mut FuncValidator<ValidatorResources>,
) -> Result<bool, BinaryReaderError> {
    let mut locals = body.get_locals_reader()?;
    for _ in 0..locals.get_count() {
        let offset = locals.original_position();
        let (count, ty) = locals.read()?;
        function.define_locals(offset, count, ty)?;
    }
    let mut operators = body.get_operators_reader()?;
    while !operators.eof() {
        let (operator, offset) = operators.read_with_offset()?;
        if let Operator::BrTable { targets } = &operator {
            let heights: Vec<_> = targets.targets().collect::<Result<Vec<_>, _>>()?;
            let heights: Vec<_> = heights.into_iter().map(|depth| height(function, depth)).collect();
            let default = height(function, targets.default());
            let reachable = function.get_control_frame(0).is_some_and(|frame| !frame.unreachable);
            if reachable && heights.iter().all(|height| *height == default) {
                let arity = arity(function, targets.default());
                // The index is on top.
                let below = (function.operand_stack_height() as usize).saturating_sub(1 + arity.len());
                if in_memory(&arity) && default.is_none_or(|height| below > height) {
                    return Ok(true);
                }
            }
        }
        function.op(offset, &operator)?;
    }
    Ok(false)
}

fn height(function: &FuncValidator<ValidatorResources>, depth: u32) -> Option<usize> {
    function.get_control_frame(depth as usize).map(|frame| frame.height)
}

/// Types of what a branch to the label at `depth` carries.
fn arity(function: &FuncValidator<ValidatorResources>, depth: u32) -> Vec<ValType> {
    let Some(frame) = function.get_control_frame(depth as usize) else { return Vec::new() };
    match frame.block_type {
        BlockType::Empty => Vec::new(),
        BlockType::Type(ty) => {
            if frame.kind == wasmparser::FrameKind::Loop {
                Vec::new()
            } else {
                vec![ty]
            }
        }
        BlockType::FuncType(index) => {
            let resources = function.resources();
            let ty = wasmparser::WasmModuleResources::sub_type_at(resources, index);
            match ty.map(|ty| &ty.composite_type.inner) {
                Some(CompositeInnerType::Func(ty)) if frame.kind == wasmparser::FrameKind::Loop => ty.params().to_vec(),
                Some(CompositeInnerType::Func(ty)) => ty.results().to_vec(),
                _ => Vec::new(),
            }
        }
    }
}
