//! From metadata values to Rust's types and back.

use super::{Array, ScalarArray, StringArray, Value, ValueType};
use dino_core::Storage;
use std::borrow::Cow;

/// A type that a metadata value can be read as.
///
/// Integers of any width become any integer type that holds them; floats of either width, and integers, become
/// floats; nothing else is converted.
pub trait FromValue<'a>: Sized {
    /// What is expected, for error messages.
    fn expected() -> Cow<'static, str>;
    /// The value; `None` if it is of another type or does not fit.
    fn from_value(value: &'a Value) -> Option<Self>;
}

macro_rules! from_value {
    ($($type:ty, $expected:literal, $value:ident => $read:expr;)*) => {$(
        impl<'a> FromValue<'a> for $type {
            fn expected() -> Cow<'static, str> {
                $expected.into()
            }
            fn from_value($value: &'a Value) -> Option<Self> {
                $read
            }
        }
    )*};
}

from_value! {
    u8, "an unsigned integer of 8 bits", value => value.integer()?.try_into().ok();
    u16, "an unsigned integer of 16 bits", value => value.integer()?.try_into().ok();
    u32, "an unsigned integer of 32 bits", value => value.integer()?.try_into().ok();
    u64, "an unsigned integer of 64 bits", value => value.integer()?.try_into().ok();
    usize, "a count", value => value.integer()?.try_into().ok();
    i32, "an integer of 32 bits", value => value.integer()?.try_into().ok();
    i64, "an integer of 64 bits", value => value.integer()?.try_into().ok();
    f32, "a number", value => Some(value.float()? as f32);
    f64, "a number", value => value.float();
    bool, "a bool", value => match value {
        Value::Bool(x) => Some(*x),
        _ => None,
    };
    &'a [u8], "a string", value => match value {
        Value::String(bytes) => Some(bytes),
        _ => None,
    };
    &'a str, "a string of UTF-8", value => match value {
        Value::String(bytes) => std::str::from_utf8(bytes).ok(),
        _ => None,
    };
    &'a Array, "an array", value => match value {
        Value::Array(array) => Some(array),
        _ => None,
    };
    &'a ScalarArray, "an array of numbers", value => match value {
        Value::Array(Array::Scalars(array)) => Some(array),
        _ => None,
    };
    &'a StringArray, "an array of strings", value => match value {
        Value::Array(Array::Strings(array)) => Some(array),
        _ => None,
    };
}

impl<T: for<'v> FromValue<'v>> FromValue<'_> for Vec<T> {
    fn expected() -> Cow<'static, str> {
        format!("an array, each element {}", T::expected()).into()
    }
    fn from_value(value: &Value) -> Option<Self> {
        let array = <&ScalarArray>::from_value(value)?;
        array
            .iter()
            .map(|element| T::from_value(&element))
            .collect()
    }
}

macro_rules! into_value {
    ($($type:ty, $variant:ident;)*) => {$(
        impl From<$type> for Value {
            fn from(x: $type) -> Self {
                Self::$variant(x)
            }
        }
        impl From<&[$type]> for Value {
            fn from(values: &[$type]) -> Self {
                let bytes = values.iter().flat_map(|x| x.to_le_bytes()).collect();
                scalars(ValueType::$variant, size_of::<$type>(), bytes)
            }
        }
    )*};
}

into_value! {
    u8, U8;
    i8, I8;
    u16, U16;
    i16, I16;
    u32, U32;
    i32, I32;
    u64, U64;
    i64, I64;
    f32, F32;
    f64, F64;
}

impl From<bool> for Value {
    fn from(x: bool) -> Self {
        Self::Bool(x)
    }
}

impl From<&[bool]> for Value {
    fn from(values: &[bool]) -> Self {
        let bytes = values.iter().map(|&x| x.into()).collect();
        scalars(ValueType::Bool, 1, bytes)
    }
}

fn scalars(element: ValueType, size: usize, bytes: Vec<u8>) -> Value {
    let bytes = Storage::from_vec(bytes);
    Value::Array(Array::Scalars(ScalarArray::new(element, size, bytes)))
}

impl From<usize> for Value {
    fn from(x: usize) -> Self {
        Self::U64(x as u64)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.as_bytes().into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

impl From<&[&str]> for Value {
    fn from(strings: &[&str]) -> Self {
        Self::Array(Array::Strings(strings.iter().collect()))
    }
}

impl From<StringArray> for Value {
    fn from(strings: StringArray) -> Self {
        Self::Array(Array::Strings(strings))
    }
}

impl<T, const N: usize> From<[T; N]> for Value
where
    Value: for<'a> From<&'a [T]>,
{
    fn from(values: [T; N]) -> Self {
        values.as_slice().into()
    }
}

impl<T> From<Vec<T>> for Value
where
    Value: for<'a> From<&'a [T]>,
{
    fn from(values: Vec<T>) -> Self {
        values.as_slice().into()
    }
}
