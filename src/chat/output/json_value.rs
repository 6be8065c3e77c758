//! One JSON value, read letter by letter.

/// A JSON value that is being read. Its text is given on as it arrives: of a string what it says, of anything else how
/// it is written.
#[derive(Debug)]
pub(super) struct JsonValue {
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Text(Escape),
    /// A list or object: how many brackets are open, and whether a string is.
    Nested {
        depth: usize,
        in_text: bool,
        is_escaped: bool,
    },
    /// A number or word.
    Plain,
}

/// Where in an escape a string is.
#[derive(Debug)]
enum Escape {
    None,
    Backslash,
    /// The digits of `\uXXXX`, and the first half of a pair.
    Unicode(String, Option<u16>),
    /// Behind the first half of a pair: `\` and `u` of the second.
    Pair(u16, bool),
}

/// What a character does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The value goes on, with this more of its text.
    More(Option<char>),
    /// It is complete, with this more of its text.
    Done(Option<char>),
    /// It was complete before this character, which is not of it.
    Over,
    /// This is no JSON.
    Broken,
}

impl JsonValue {
    /// Begins the value whose first character is `c`; with it what is to be given on.
    pub(super) fn open(c: char) -> Option<(Self, Option<char>)> {
        let (kind, shown) = match c {
            '"' => (Kind::Text(Escape::None), None),
            '{' | '[' => {
                let nested = Kind::Nested {
                    depth: 1,
                    in_text: false,
                    is_escaped: false,
                };
                (nested, Some(c))
            }
            '-' | '0'..='9' | 'a'..='z' => (Kind::Plain, Some(c)),
            _ => return None,
        };
        Some((Self { kind }, shown))
    }

    pub(super) fn push(&mut self, c: char) -> Step {
        match &mut self.kind {
            Kind::Text(escape) => push_text(escape, c),
            Kind::Plain if c.is_ascii_alphanumeric() || "+-.".contains(c) => Step::More(Some(c)),
            Kind::Plain => Step::Over,
            Kind::Nested {
                depth,
                in_text,
                is_escaped,
            } => {
                if *in_text {
                    *in_text = c != '"' || *is_escaped;
                    *is_escaped = c == '\\' && !*is_escaped;
                    return Step::More(Some(c));
                }
                match c {
                    '"' => *in_text = true,
                    '{' | '[' => *depth += 1,
                    '}' | ']' => *depth -= 1,
                    _ => {}
                }
                if *depth == 0 {
                    Step::Done(Some(c))
                } else {
                    Step::More(Some(c))
                }
            }
        }
    }
}

fn push_text(escape: &mut Escape, c: char) -> Step {
    match escape {
        Escape::None => match c {
            '"' => Step::Done(None),
            '\\' => {
                *escape = Escape::Backslash;
                Step::More(None)
            }
            _ => Step::More(Some(c)),
        },
        Escape::Backslash => {
            let shown = match c {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                'b' => '\u{8}',
                'f' => '\u{c}',
                '"' | '\\' | '/' => c,
                'u' => {
                    *escape = Escape::Unicode(String::new(), None);
                    return Step::More(None);
                }
                _ => return Step::Broken,
            };
            *escape = Escape::None;
            Step::More(Some(shown))
        }
        Escape::Unicode(digits, first) => {
            digits.push(c);
            if digits.len() < 4 {
                return Step::More(None);
            }
            let Ok(unit) = u16::from_str_radix(digits, 16) else {
                return Step::Broken;
            };
            let first = *first;
            push_unit(escape, first, unit)
        }
        Escape::Pair(first, has_backslash) => match (c, *has_backslash) {
            ('\\', false) => {
                *has_backslash = true;
                Step::More(None)
            }
            ('u', true) => {
                *escape = Escape::Unicode(String::new(), Some(*first));
                Step::More(None)
            }
            _ => Step::Broken,
        },
    }
}

/// Takes a unit of UTF-16.
fn push_unit(escape: &mut Escape, first: Option<u16>, unit: u16) -> Step {
    let is_first_half = (0xd800..0xdc00).contains(&unit);
    if first.is_none() && is_first_half {
        *escape = Escape::Pair(unit, false);
        return Step::More(None);
    }
    *escape = Escape::None;
    let units = first.into_iter().chain([unit]);
    match char::decode_utf16(units).next() {
        Some(Ok(shown)) => Step::More(Some(shown)),
        _ => Step::Broken,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Option<String> {
        let mut chars = json.chars();
        let (mut value, shown) = JsonValue::open(chars.next()?)?;
        let mut text: String = shown.into_iter().collect();
        for c in chars {
            match value.push(c) {
                Step::More(more) => text.extend(more),
                Step::Done(more) => {
                    text.extend(more);
                    return Some(text);
                }
                Step::Over => return Some(text),
                Step::Broken => return None,
            }
        }
        None
    }

    #[test]
    fn strings_are_read_as_serde_json_reads_them() {
        for json in [
            r#""""#,
            r#""a\"b\\c\/d\n\t\r\b\f""#,
            r#""\u00e9 \ud83d\ude00 é 😀""#,
        ] {
            let expected: String = serde_json::from_str(json).unwrap();
            assert_eq!(read(json), Some(expected));
        }
        for json in [
            r#""\x""#,
            r#""\ud83dx""#,
            r#""\ud83d\n""#,
            r#""\u12g4""#,
            r#""\udc00""#,
        ] {
            assert_eq!(read(json), None, "{json}");
        }
    }

    #[test]
    fn the_rest_is_given_as_written() {
        for json in [r#"{"a": [1, {"b": "}\"]"}]}"#, "[]", "{}"] {
            assert_eq!(read(&format!("{json} tail")).as_deref(), Some(json));
        }
        assert_eq!(read("-1.5e+3,").as_deref(), Some("-1.5e+3"));
        assert_eq!(read("null}").as_deref(), Some("null"));
    }
}
