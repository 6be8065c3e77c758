//! Metadata for other programs: values as JSON and its kin know them.

use super::{Array, Metadata, Value};
use serde::{Serialize, Serializer};

impl Serialize for Value {
    /// Numbers, bools, sequences; strings with U+FFFD in the place of what is not UTF-8.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::U8(x) => x.serialize(serializer),
            Self::I8(x) => x.serialize(serializer),
            Self::U16(x) => x.serialize(serializer),
            Self::I16(x) => x.serialize(serializer),
            Self::U32(x) => x.serialize(serializer),
            Self::I32(x) => x.serialize(serializer),
            Self::U64(x) => x.serialize(serializer),
            Self::I64(x) => x.serialize(serializer),
            Self::F32(x) => x.serialize(serializer),
            Self::F64(x) => x.serialize(serializer),
            Self::Bool(x) => x.serialize(serializer),
            Self::String(bytes) => String::from_utf8_lossy(bytes).serialize(serializer),
            Self::Array(array) => array.serialize(serializer),
        }
    }
}

impl Serialize for Array {
    /// A sequence of all elements.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Scalars(scalars) => serializer.collect_seq(scalars.iter()),
            Self::Strings(strings) => {
                serializer.collect_seq(strings.iter().map(String::from_utf8_lossy))
            }
            Self::Arrays(arrays) => arrays.serialize(serializer),
        }
    }
}

impl Serialize for Metadata {
    /// A map in the order of the file.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_become_json() {
        let metadata = Metadata::new("m")
            .with("text", "größe")
            .with("eps", 0.5_f32)
            .with("wide", -5_i64)
            .with("words", ["a", ""])
            .with("bools", [true, false])
            .with("damaged", Value::String(Box::new([b'x', 0xff])));
        assert_eq!(
            serde_json::to_string(&metadata).unwrap(),
            "{\"text\":\"größe\",\"eps\":0.5,\"wide\":-5,\"words\":[\"a\",\"\"],\
             \"bools\":[true,false],\"damaged\":\"x\u{fffd}\"}"
        );
    }
}
