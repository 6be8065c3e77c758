//! Numbers of bytes as people write them.

use std::fmt;
use std::str::FromStr;

/// A number of bytes, from text with or without a unit.
///
/// ```
/// use dino_llm::ByteSize;
///
/// assert_eq!("512MB".parse(), Ok(ByteSize(512_000_000)));
/// assert_eq!("1.5 GiB".parse(), Ok(ByteSize(1_610_612_736)));
/// assert_eq!("4096".parse(), Ok(ByteSize(4096)));
/// assert!("80 miles".parse::<ByteSize>().is_err());
/// assert_eq!(ByteSize(98_000_000).to_string(), "98.0 MB");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

/// A text that is no number of bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no size such as 512MB; units are KB, MB, GB, KiB, MiB and GiB")]
pub struct ByteSizeError(String);

impl ByteSize {
    /// As a number of bytes in memory; the greatest one if there are more.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl FromStr for ByteSize {
    type Err = ByteSizeError;

    fn from_str(text: &str) -> Result<Self, ByteSizeError> {
        let wrong = || ByteSizeError(text.into());
        let is_number = |c: char| c.is_ascii_digit() || c == '.';
        let digits = text.find(|c| !is_number(c)).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let unit = match unit.trim().to_ascii_lowercase().as_str() {
            "" | "b" => 1.0,
            "k" | "kb" => 1e3,
            "m" | "mb" => 1e6,
            "g" | "gb" => 1e9,
            "kib" => 1024.0,
            "mib" => 1_048_576.0,
            "gib" => 1_073_741_824.0,
            _ => return Err(wrong()),
        };
        let number: f64 = number.parse().map_err(|_| wrong())?;
        Ok(Self((number * unit) as u64))
    }
}

impl fmt::Display for ByteSize {
    /// In the largest unit that leaves a whole number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0 as f64;
        let text = match bytes {
            _ if bytes < 1e3 => format!("{bytes} B"),
            _ if bytes < 1e6 => format!("{:.1} KB", bytes / 1e3),
            _ if bytes < 1e9 => format!("{:.1} MB", bytes / 1e6),
            _ => format!("{:.2} GB", bytes / 1e9),
        };
        f.pad(&text)
    }
}
