//! Values as rows write them: integers in decimal or hexadecimal, floats by their bits in hexadecimal or in
//! decimal, vectors as one hexadecimal number, `null`, `ref`, and the number of an external reference.

use cofferdam_engine::{ValType, Value};

use crate::trouble::{Done, Trouble};

fn no(word: &str, ty: ValType) -> Trouble {
    Trouble::Wrong(format!("the row's `{word}` is no {ty}"))
}

fn integer(word: &str) -> Option<i128> {
    match word.strip_prefix("0x") {
        Some(hex) => u128::from_str_radix(hex, 16).ok().map(u128::cast_signed),
        None => word.parse().ok(),
    }
}

/// The value that `word` writes, of type `ty`.
///
/// # Errors
/// It writes none.
pub fn value(word: &str, ty: ValType) -> Done<Value> {
    // Both signed and unsigned forms are taken: what counts are the bits.
    let bits = || integer(word).ok_or_else(|| no(word, ty));
    Ok(match ty {
        ValType::I32 => Value::I32(bits()? as i32),
        ValType::I64 => Value::I64(bits()? as i64),
        ValType::V128 => Value::V128(bits()?.cast_unsigned()),
        ValType::F32 if word.starts_with("0x") => Value::F32(bits()? as u32),
        ValType::F64 if word.starts_with("0x") => Value::F64(bits()? as u64),
        ValType::F32 => Value::F32(word.parse::<f32>().map_err(|_| no(word, ty))?.to_bits()),
        ValType::F64 => Value::F64(word.parse::<f64>().map_err(|_| no(word, ty))?.to_bits()),
        ValType::FuncRef if word == "null" => Value::FuncRef(None),
        ValType::ExternRef if word == "null" => Value::ExternRef(None),
        ValType::ExternRef => Value::ExternRef(Some(word.parse::<u64>().map_err(|_| no(word, ty))?)),
        ValType::FuncRef => return Err(no(word, ty)),
    })
}

/// The value that `word` writes with its type, as in `i64:5`; without one, of type `ty`.
///
/// # Errors
/// It writes none.
pub fn typed(word: &str, ty: Option<ValType>) -> Done<Value> {
    let types =
        [ValType::I32, ValType::I64, ValType::F32, ValType::F64, ValType::V128, ValType::FuncRef, ValType::ExternRef];
    if let Some((name, word)) = word.split_once(':')
        && let Some(ty) = types.into_iter().find(|t| t.to_string() == name)
    {
        return value(word, ty);
    }
    value(word, ty.ok_or_else(|| Trouble::Wrong(format!("the row's `{word}` has no type")))?)
}

/// Whether `found` is what `word` writes; `ref` is any function.
///
/// # Errors
/// The row's word is wrong.
pub fn matches(word: &str, found: &Value) -> Done<bool> {
    match found {
        Value::FuncRef(Some(_)) => Ok(word == "ref"),
        Value::FuncRef(None) => Ok(word == "null"),
        _ => Ok(value(word, found.ty())? == *found),
    }
}

/// `value` as rows write it.
#[must_use]
pub fn write(value: &Value) -> String {
    match value {
        Value::F32(bits) => format!("0x{bits:08x}"),
        Value::F64(bits) => format!("0x{bits:016x}"),
        Value::FuncRef(Some(_)) => "ref".to_owned(),
        Value::ExternRef(Some(n)) => n.to_string(),
        other => other.to_string(),
    }
}
