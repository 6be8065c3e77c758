//! What a file says about its model: typed values under names.

use super::{FormatError, FromValue, Value};
use indexmap::IndexMap;
use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// The most layers that a per-layer value is repeated for: a damaged count must not become an allocation.
const MAX_LAYERS: usize = 1 << 16;

/// Typed values under names, in the order of the file, that remember which of them were asked for.
///
/// The names are GGUF's, whatever the file is
/// (<https://github.com/ggml-org/ggml/blob/master/docs/gguf.md#standardized-key-value-pairs>).
///
/// ```
/// use dino_models::format::Metadata;
///
/// let metadata = Metadata::new("example")
///     .with("general.architecture", "llama")
///     .with("llama.block_count", 30_u32)
///     .with("llama.attention.head_count", 9_u32);
/// let llama = metadata.scoped()?;
/// let layers: usize = llama.get("block_count")?;
/// assert_eq!(llama.per_layer::<usize>("attention.head_count", layers)?, [9; 30]);
/// assert_eq!(llama.maybe::<f32>("rope.freq_base")?, None);
/// assert_eq!(metadata.unread().count(), 0);
/// # Ok::<(), dino_models::format::FormatError>(())
/// ```
#[derive(Debug)]
pub struct Metadata {
    file: PathBuf,
    entries: IndexMap<String, Entry>,
}

#[derive(Debug)]
struct Entry {
    value: Value,
    read: AtomicBool,
    /// What the file calls the key, where it is not GGUF's name.
    origin: Option<String>,
}

impl Metadata {
    /// No values yet. Errors will name `file`.
    pub fn new(file: impl Into<PathBuf>) -> Self {
        Self {
            file: file.into(),
            entries: IndexMap::new(),
        }
    }

    /// Adds a value, or replaces the one of that name.
    pub fn insert(&mut self, key: impl Into<String>, value: impl Into<Value>) {
        self.add(key.into(), value.into(), None);
    }

    /// Like [`Metadata::insert`] of a value that the file keeps under the name `origin`, which errors will use.
    pub fn insert_from(
        &mut self,
        origin: impl Into<String>,
        key: impl Into<String>,
        value: impl Into<Value>,
    ) {
        self.add(key.into(), value.into(), Some(origin.into()));
    }

    /// Takes a value away; says whether it was there.
    pub fn remove(&mut self, key: &str) -> bool {
        self.entries.shift_remove(key).is_some()
    }

    /// Takes all values away whose names begin with `prefix`.
    pub fn remove_all(&mut self, prefix: &str) {
        self.entries.retain(|key, _| !key.starts_with(prefix));
    }

    fn add(&mut self, key: String, value: Value, origin: Option<String>) {
        let read = AtomicBool::new(false);
        let entry = Entry {
            value,
            read,
            origin,
        };
        self.entries.insert(key, entry);
    }

    /// What the file calls `key`, for messages.
    pub fn told<'a>(&'a self, key: &'a str) -> &'a str {
        let origin = self
            .entries
            .get(key)
            .and_then(|entry| entry.origin.as_deref());
        origin.unwrap_or(key)
    }

    /// Like [`Metadata::insert`], in a chain.
    #[must_use]
    pub fn with(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.insert(key, value);
        self
    }

    /// The file that errors name.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The value of a key that must be there.
    ///
    /// # Errors
    /// [`FormatError::MissingKey`]; [`FormatError::WrongType`] if it is of another type or does not fit.
    pub fn get<'a, T: FromValue<'a>>(&'a self, key: &str) -> Result<T, FormatError> {
        self.maybe(key)?.ok_or_else(|| FormatError::MissingKey {
            file: self.file.clone(),
            key: key.into(),
        })
    }

    /// The value of a key, if it is there.
    ///
    /// # Errors
    /// [`FormatError::WrongType`] if it is of another type or does not fit.
    pub fn maybe<'a, T: FromValue<'a>>(&'a self, key: &str) -> Result<Option<T>, FormatError> {
        let Some(value) = self.value(key) else {
            return Ok(None);
        };
        let read = T::from_value(value);
        read.map(Some)
            .ok_or_else(|| self.wrong_type(key, T::expected(), value))
    }

    /// A value for each of `layers` layers, from an array of them or from a scalar that holds for all.
    ///
    /// # Errors
    /// [`FormatError::MissingKey`]; [`FormatError::WrongType`]; [`FormatError::WrongLength`] if the array is shorter
    /// or longer.
    pub fn per_layer<T>(&self, key: &str, layers: usize) -> Result<Vec<T>, FormatError>
    where
        T: Clone + for<'v> FromValue<'v>,
    {
        let values = self.maybe_per_layer(key, layers)?;
        values.ok_or_else(|| FormatError::MissingKey {
            file: self.file.clone(),
            key: key.into(),
        })
    }

    /// Like [`Metadata::per_layer`], if the key is there.
    ///
    /// # Errors
    /// [`FormatError::WrongType`]; [`FormatError::WrongLength`] if the array is shorter or longer.
    pub fn maybe_per_layer<T>(
        &self,
        key: &str,
        layers: usize,
    ) -> Result<Option<Vec<T>>, FormatError>
    where
        T: Clone + for<'v> FromValue<'v>,
    {
        let wrong_length = |found| FormatError::WrongLength {
            file: self.file.clone(),
            key: self.told(key).into(),
            expected: layers,
            found,
        };
        match self.value(key) {
            None => Ok(None),
            Some(Value::Array(array)) if array.len() != layers => Err(wrong_length(array.len())),
            Some(Value::Array(_)) => self.maybe(key),
            Some(_) if layers > MAX_LAYERS => Err(wrong_length(1)),
            Some(_) => Ok(Some(vec![self.get(key)?; layers])),
        }
    }

    /// The architecture: `general.architecture`.
    ///
    /// # Errors
    /// If it is missing or not a string.
    pub fn architecture(&self) -> Result<&str, FormatError> {
        self.get("general.architecture")
    }

    /// The keys of the file's architecture, without its name before them.
    ///
    /// # Errors
    /// If the architecture is missing or not a string.
    pub fn scoped(&self) -> Result<Scoped<'_>, FormatError> {
        Ok(Scoped {
            metadata: self,
            scope: self.architecture()?,
        })
    }

    /// Whether the key is there. Does not count as reading it.
    pub fn contains(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// The value of a key, of whatever type. Does not count as reading it.
    pub(crate) fn peek(&self, key: &str) -> Option<&Value> {
        self.entries.get(key).map(|entry| &entry.value)
    }

    /// The value of a key, of whatever type.
    pub fn value(&self, key: &str) -> Option<&Value> {
        let entry = self.entries.get(key)?;
        entry.read.store(true, Ordering::Relaxed);
        Some(&entry.value)
    }

    /// All keys and values, in order. Does not count as reading them.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> {
        let entries = self.entries.iter();
        entries.map(|(key, entry)| (key.as_str(), &entry.value))
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The keys that nobody asked for, in order.
    pub fn unread(&self) -> impl Iterator<Item = &str> {
        let unread = |entry: &Entry| !entry.read.load(Ordering::Relaxed);
        self.entries
            .iter()
            .filter_map(move |(key, entry)| unread(entry).then_some(key.as_str()))
    }

    fn wrong_type(&self, key: &str, expected: Cow<'static, str>, found: &Value) -> FormatError {
        FormatError::WrongType {
            file: self.file.clone(),
            key: self.told(key).into(),
            expected: expected.into(),
            found: format!("{} {found}", found.kind()),
        }
    }
}

/// The keys of one architecture: `block_count` is `llama.block_count` in a file of the architecture `llama`.
#[derive(Clone, Copy, Debug)]
pub struct Scoped<'a> {
    metadata: &'a Metadata,
    scope: &'a str,
}

impl<'a> Scoped<'a> {
    /// The full name of a key, as the file calls it: for messages.
    pub fn key(&self, key: &str) -> String {
        self.metadata.told(&self.full(key)).to_owned()
    }

    fn full(&self, key: &str) -> String {
        format!("{}.{key}", self.scope)
    }

    /// Like [`Metadata::get`].
    ///
    /// # Errors
    /// If the key is missing, of another type or does not fit.
    pub fn get<T: FromValue<'a>>(&self, key: &str) -> Result<T, FormatError> {
        self.metadata.get(&self.full(key))
    }

    /// Like [`Metadata::maybe`].
    ///
    /// # Errors
    /// If the value is of another type or does not fit.
    pub fn maybe<T: FromValue<'a>>(&self, key: &str) -> Result<Option<T>, FormatError> {
        self.metadata.maybe(&self.full(key))
    }

    /// Like [`Metadata::value`].
    pub fn value(&self, key: &str) -> Option<&'a Value> {
        self.metadata.value(&self.full(key))
    }

    /// Like [`Metadata::per_layer`].
    ///
    /// # Errors
    /// If the key is missing, of another type, or an array of another length.
    pub fn per_layer<T>(&self, key: &str, layers: usize) -> Result<Vec<T>, FormatError>
    where
        T: Clone + for<'v> FromValue<'v>,
    {
        self.metadata.per_layer(&self.full(key), layers)
    }

    /// Like [`Metadata::maybe_per_layer`].
    ///
    /// # Errors
    /// If the value is of another type or an array of another length.
    pub fn maybe_per_layer<T>(
        &self,
        key: &str,
        layers: usize,
    ) -> Result<Option<Vec<T>>, FormatError>
    where
        T: Clone + for<'v> FromValue<'v>,
    {
        self.metadata.maybe_per_layer(&self.full(key), layers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::StringArray;

    #[test]
    fn integers_of_any_width_are_read_where_they_fit() {
        let metadata = Metadata::new("m")
            .with("small", 7_u8)
            .with("negative", -1_i64)
            .with("large", u64::MAX)
            .with("float", 1.5_f64);
        assert_eq!(metadata.get::<u32>("small").unwrap(), 7);
        assert_eq!(metadata.get::<i32>("negative").unwrap(), -1);
        assert_eq!(metadata.get::<f32>("small").unwrap(), 7.0);
        assert_eq!(metadata.get::<f32>("float").unwrap(), 1.5);
        for wrong in [
            metadata.get::<u32>("negative").unwrap_err(),
            metadata.get::<u32>("large").unwrap_err(),
            metadata.get::<f64>("large").map(|_| 0).unwrap_err(),
            metadata.get::<usize>("float").map(|_| 0).unwrap_err(),
            metadata.get::<bool>("small").map(|_| 0).unwrap_err(),
            metadata.get::<&str>("small").map(|_| 0).unwrap_err(),
        ] {
            assert!(matches!(wrong, FormatError::WrongType { .. }), "{wrong}");
        }
        let missing = metadata.get::<u32>("none").unwrap_err().to_string();
        assert!(
            missing.contains("`none`") && missing.contains('m'),
            "{missing}"
        );
    }

    #[test]
    fn arrays_are_read_as_what_they_hold() {
        let metadata = Metadata::new("m")
            .with("ints", [1_i32, 2, 3])
            .with("bools", [true, false])
            .with("words", ["a", "", "bc"])
            .with("bytes", StringArray::from_iter([&[0xff_u8][..], b"x"]));
        assert_eq!(metadata.get::<Vec<usize>>("ints").unwrap(), [1, 2, 3]);
        assert_eq!(metadata.get::<Vec<bool>>("bools").unwrap(), [true, false]);
        let words: &StringArray = metadata.get("words").unwrap();
        assert!(words.iter().eq([&b"a"[..], b"", b"bc"]));
        assert_eq!((words.str(2), words.str(3)), (Some("bc"), None));
        let bytes: &StringArray = metadata.get("bytes").unwrap();
        assert_eq!((bytes.get(0), bytes.str(0)), (Some(&[0xff][..]), None));
        assert!(metadata.get::<Vec<u32>>("words").is_err());
        assert!(metadata.get::<Vec<bool>>("ints").is_err());
    }

    #[test]
    fn a_layer_has_its_own_value_or_the_common_one() {
        let metadata = Metadata::new("m")
            .with("general.architecture", "a")
            .with("a.each", [1_u32, 2])
            .with("a.all", 3_u32);
        let scoped = metadata.scoped().unwrap();
        assert_eq!(scoped.per_layer::<usize>("each", 2).unwrap(), [1, 2]);
        assert_eq!(scoped.per_layer::<usize>("all", 2).unwrap(), [3, 3]);
        assert_eq!(scoped.maybe_per_layer::<usize>("none", 2).unwrap(), None);
        for (key, layers) in [("each", 3), ("all", usize::MAX)] {
            let error = scoped.per_layer::<usize>(key, layers).unwrap_err();
            assert!(matches!(error, FormatError::WrongLength { .. }), "{error}");
        }
    }

    #[test]
    fn what_nobody_asked_for_is_known() {
        let metadata = Metadata::new("m")
            .with("a", 1_u8)
            .with("b", 2_u8)
            .with("c", 3_u8);
        metadata.get::<u8>("b").unwrap();
        assert!(metadata.contains("a"));
        assert!(metadata.unread().eq(["a", "c"]));
    }
}
