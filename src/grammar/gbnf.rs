//! GBNF, llama.cpp's grammars, in the Lark syntax of the grammars' engine.
//!
//! Rules keep their bodies; names, literals and character classes change their spelling. A rule that does not lead back
//! to itself is regular and becomes a terminal, so that the lexer runs it as one automaton; the others become rules.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::json;

use super::GrammarError;

/// The grammar in Lark syntax.
pub(super) fn to_lark(source: &str) -> Result<String, GrammarError> {
    let rules = Reader::new(source).rules()?;
    if !rules.contains_key("root") {
        return Err(GrammarError::Gbnf {
            line: source.lines().count().max(1),
            message: "there is no rule `root` to begin with".into(),
        });
    }
    let recursive = recursive_rules(&rules)?;
    let name = |rule: &str| spelled(rule, recursive.contains(rule));
    let mut lark = format!("start: {}\n", name("root"));
    for (rule, body) in &rules {
        let _ = write!(lark, "{}:", name(rule));
        for part in &body.parts {
            lark.push(' ');
            match part {
                Part::Rule(rule) => lark.push_str(&name(rule)),
                Part::Text(text) => lark.push_str(text),
            }
        }
        lark.push('\n');
    }
    Ok(lark)
}

#[derive(Debug, Default)]
struct Body {
    line: usize,
    parts: Vec<Part>,
}

#[derive(Debug)]
enum Part {
    Rule(String),
    /// What is spelled in Lark already.
    Text(String),
}

impl Body {
    fn references(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Rule(name) => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }
}

type Rules = BTreeMap<String, Body>;

/// The rules from which one can come back to the same rule, or to one of these.
fn recursive_rules(rules: &Rules) -> Result<BTreeSet<&str>, GrammarError> {
    let mut uses: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (rule, body) in rules {
        for reference in body.references() {
            if !rules.contains_key(reference) {
                return Err(GrammarError::Gbnf {
                    line: body.line,
                    message: format!("there is no rule `{reference}`"),
                });
            }
            uses.entry(rule).or_default().insert(reference);
        }
    }
    // Rules are regular if all that they use are; what never becomes so is or reaches a cycle.
    let mut used_by: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut open: BTreeMap<&str, usize> = BTreeMap::new();
    for rule in rules.keys() {
        let used = uses.get(rule.as_str());
        open.insert(rule, used.map_or(0, BTreeSet::len));
        for other in used.into_iter().flatten() {
            used_by.entry(other).or_default().push(rule);
        }
    }
    let mut regular: Vec<&str> = open
        .iter()
        .filter_map(|(rule, uses)| (*uses == 0).then_some(*rule))
        .collect();
    while let Some(rule) = regular.pop() {
        open.remove(rule);
        for user in used_by.get(rule).into_iter().flatten() {
            if let Some(uses) = open.get_mut(user) {
                *uses -= 1;
                if *uses == 0 {
                    regular.push(user);
                }
            }
        }
    }
    Ok(open.into_keys().collect())
}

/// A rule's name as Lark spells it: rules in small letters, terminals in capitals. Other letters become numbers.
fn spelled(rule: &str, is_recursive: bool) -> String {
    let mut name = String::from(if is_recursive { "r_" } else { "T_" });
    for c in rule.chars() {
        match c {
            'a'..='z' | '0'..='9' if is_recursive => name.push(c),
            'a'..='z' | '0'..='9' => name.push(c.to_ascii_uppercase()),
            _ => {
                let _ = write!(name, "_{}_", u32::from(c));
            }
        }
    }
    name
}

struct Reader<'s> {
    rest: &'s str,
    line: usize,
}

impl<'s> Reader<'s> {
    fn new(source: &'s str) -> Self {
        Self {
            rest: source,
            line: 1,
        }
    }

    fn rules(mut self) -> Result<Rules, GrammarError> {
        let mut rules = Rules::new();
        self.skip(true);
        while !self.rest.is_empty() {
            let line = self.line;
            let name = self
                .name()
                .ok_or_else(|| self.wrong("a rule's name is missing"))?;
            self.skip(true);
            if !self.take("::=") {
                return Err(self.wrong("`::=` is missing after the rule's name"));
            }
            let parts = self.body()?;
            if rules
                .insert(name.to_owned(), Body { line, parts })
                .is_some()
            {
                return Err(GrammarError::Gbnf {
                    line,
                    message: format!("there are two rules `{name}`"),
                });
            }
        }
        Ok(rules)
    }

    /// All up to the end of the rule.
    fn body(&mut self) -> Result<Vec<Part>, GrammarError> {
        let mut parts = Vec::new();
        let mut depth = 0usize;
        // Whether something has to follow, so that the rule goes on in the next line.
        let mut is_open = true;
        let mut is_empty = true;
        loop {
            self.skip(depth > 0 || is_open);
            let Some(c) = self.rest.chars().next() else {
                break;
            };
            if is_open && depth == 0 && self.begins_rule() || c == '\n' || c == '\r' {
                break;
            }
            is_open = false;
            match c {
                '|' | '(' | ')' => {
                    self.advance(1);
                    is_open = c == '|';
                    match c {
                        '(' => depth += 1,
                        ')' if depth == 0 => return Err(self.wrong("`)` closes nothing")),
                        ')' => depth -= 1,
                        _ => {}
                    }
                    // Lark has no empty alternatives; an empty text is one.
                    if c != '(' && is_empty {
                        parts.push(Part::Text("\"\"".into()));
                    }
                    parts.push(Part::Text(c.into()));
                    is_empty = c != ')';
                    continue;
                }
                _ => parts.push(self.item(c)?),
            }
            is_empty = false;
        }
        if depth > 0 {
            return Err(self.wrong("`(` is not closed"));
        }
        if is_empty {
            parts.push(Part::Text("\"\"".into()));
        }
        self.skip(true);
        Ok(parts)
    }

    fn item(&mut self, first: char) -> Result<Part, GrammarError> {
        Ok(match first {
            '"' => Part::Text(self.literal()?),
            '[' => Part::Text(self.class()?),
            '.' => {
                self.advance(1);
                Part::Text(r"/[\s\S]/".into())
            }
            '*' | '+' | '?' => {
                self.advance(1);
                Part::Text(first.into())
            }
            '{' => Part::Text(self.repetition()?),
            _ => match self.name() {
                Some(name) => Part::Rule(name.to_owned()),
                None => return Err(self.wrong(&format!("`{first}` is not expected here"))),
            },
        })
    }

    /// Whether a name and `::=` come next.
    fn begins_rule(&self) -> bool {
        let after = self.rest.trim_start_matches(is_of_name);
        after.len() < self.rest.len() && after.trim_start_matches([' ', '\t']).starts_with("::=")
    }

    /// `"…"`, in JSON's spelling.
    fn literal(&mut self) -> Result<String, GrammarError> {
        self.advance(1);
        let mut text = String::new();
        loop {
            match self.rest.chars().next() {
                Some('"') => {
                    self.advance(1);
                    return Ok(json!(text).to_string());
                }
                Some('\n') | None => return Err(self.wrong("`\"` is not closed")),
                Some(_) => text.push(self.letter()?),
            }
        }
    }

    /// `[…]`, as a regular expression.
    fn class(&mut self) -> Result<String, GrammarError> {
        self.advance(1);
        let mut class = String::from("/[");
        if self.take("^") {
            class.push('^');
        }
        loop {
            match self.rest.chars().next() {
                Some(']') => {
                    self.advance(1);
                    class.push_str("]/");
                    return Ok(class);
                }
                Some('\n') | None => return Err(self.wrong("`[` is not closed")),
                Some('-') if !class.ends_with(['[', '^']) && !self.rest.starts_with("-]") => {
                    self.advance(1);
                    class.push('-');
                }
                Some(_) => {
                    let letter = self.letter()?;
                    let _ = write!(class, "\\u{{{:x}}}", u32::from(letter));
                }
            }
        }
    }

    /// `{n}`, `{n,}`, `{n,m}`
    fn repetition(&mut self) -> Result<String, GrammarError> {
        let Some((inside, _)) = self.rest[1..].split_once('}') else {
            return Err(self.wrong("`{` is not closed"));
        };
        let inside: String = inside.split_whitespace().collect();
        let numbers: Vec<&str> = inside.splitn(2, ',').collect();
        let is_number = |text: &&str| text.parse::<u16>().is_ok();
        let is_right = match numbers[..] {
            [least] => is_number(&least),
            [least, ""] => is_number(&least),
            [least, most] => is_number(&least) && is_number(&most),
            _ => false,
        };
        if !is_right {
            return Err(self.wrong(&format!("`{{{inside}}}` is no repetition")));
        }
        let end = self.rest.find('}').unwrap_or_default();
        self.advance(end + 1);
        Ok(format!("{{{inside}}}"))
    }

    /// One letter, an escaped one too.
    fn letter(&mut self) -> Result<char, GrammarError> {
        let mut chars = self.rest.chars();
        let first = chars.next().unwrap_or_default();
        if first != '\\' {
            self.advance(first.len_utf8());
            return Ok(first);
        }
        let escaped = chars.next().unwrap_or_default();
        let digits = match escaped {
            'x' => 2,
            'u' => 4,
            'U' => 8,
            _ => 0,
        };
        let letter = match escaped {
            'n' => Some('\n'),
            'r' => Some('\r'),
            't' => Some('\t'),
            '"' | '\\' | '[' | ']' | '-' | '^' | '/' => Some(escaped),
            _ if digits > 0 => {
                let hex = self.rest.get(2..2 + digits);
                let code = hex.and_then(|hex| u32::from_str_radix(hex, 16).ok());
                code.and_then(char::from_u32)
            }
            _ => None,
        };
        let letter = letter.ok_or_else(|| self.wrong("the escape is not known"))?;
        self.advance(2 + digits);
        Ok(letter)
    }

    fn name(&mut self) -> Option<&'s str> {
        let end = self.rest.find(|c: char| !is_of_name(c));
        let (name, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        (!name.is_empty()).then_some(name)
    }

    /// Skips white space and comments, line ends too if `lines`.
    fn skip(&mut self, lines: bool) {
        while let Some(c) = self.rest.chars().next() {
            match c {
                ' ' | '\t' => self.advance(1),
                '\n' | '\r' if lines => self.advance(1),
                '#' => {
                    let end = self.rest.find('\n').unwrap_or(self.rest.len());
                    self.advance(end);
                }
                _ => return,
            }
        }
    }

    fn take(&mut self, text: &str) -> bool {
        let is_there = self.rest.starts_with(text);
        if is_there {
            self.advance(text.len());
        }
        is_there
    }

    fn advance(&mut self, bytes: usize) {
        let (gone, rest) = self.rest.split_at(bytes);
        self.line += gone.matches('\n').count();
        self.rest = rest;
    }

    fn wrong(&self, message: &str) -> GrammarError {
        GrammarError::Gbnf {
            line: self.line,
            message: message.into(),
        }
    }
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regular_rules_become_terminals() {
        let lark = to_lark(
            "# numbers\nroot ::= list | num-ber # either\nlist ::= \"[\" (root (\",\" root)*)? \"]\"\n\
             num-ber ::= [0-9a^-]+ [^\\n\\]] |\n  \"é\\x41\\\"\"{2,}\n",
        );
        let expected = "start: r_root\n\
            r_list: \"[\" ( r_root ( \",\" r_root ) * ) ? \"]\"\n\
            T_NUM_45_BER: /[\\u{30}-\\u{39}\\u{61}\\u{5e}\\u{2d}]/ + /[^\\u{a}\\u{5d}]/ | \"éA\\\"\" {2,}\n\
            r_root: r_list | T_NUM_45_BER\n";
        assert_eq!(lark.as_deref(), Ok(expected));
    }

    #[test]
    fn empty_alternatives_are_empty_texts() {
        let lark = to_lark("root ::= a | (\"b\" | )\na ::= | \"c\"").unwrap();
        assert!(lark.contains("T_A: \"\" | \"c\""), "{lark}");
        assert!(lark.contains("( \"b\" | \"\" )"), "{lark}");
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (source, line) in [
            ("", 1),
            ("a ::= \"x\"", 1),
            ("root ::= b", 1),
            ("root ::= \"x\"\nroot ::= \"y\"", 2),
            ("root ::= \"x", 1),
            ("root ::= [x", 1),
            ("root ::= (\"x\"", 1),
            ("root ::= \"x\")", 1),
            ("root ::= \"\\q\"", 1),
            ("root ::= \"x\"{a}", 1),
            ("root ::= \"x\"{1", 1),
            ("root = \"x\"", 1),
            ("root ::= \"x\"\n\n::= y", 3),
            ("root ::= \"x\" ^", 1),
        ] {
            let found = to_lark(source);
            assert!(
                matches!(found, Err(GrammarError::Gbnf { line: at, .. }) if at == line),
                "{source}: {found:?}"
            );
        }
    }
}
