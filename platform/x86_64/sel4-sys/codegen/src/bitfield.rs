// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads the kernel's bitfield files (`*.bf`, or `*.pbf` where the C preprocessor has been over them).
//!
//! The format is that of the kernel's `tools/bitfield_gen.py`: blocks of fields, from the highest bit
//! to the lowest. Only blocks of one word are kept: they are the words that cross the system call interface.

use std::collections::{BTreeMap, BTreeSet};

use crate::layout::WORD_BITS;

/// A field of a one-word block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    /// Name.
    pub(crate) name: String,
    /// Lowest bit.
    pub(crate) shift: u32,
    /// Number of bits.
    pub(crate) width: u32,
}

/// The one-word blocks of a file, by name.
pub(crate) type Blocks = BTreeMap<String, Vec<Field>>;

/// Reads the blocks of a file. A file for another word size has none.
///
/// `defines` are the macros that `#ifdef` asks for.
///
/// # Errors
/// One line that says what cannot be read.
pub(crate) fn parse(text: &str, defines: &BTreeSet<String>) -> Result<Blocks, String> {
    let text = preprocess(text, defines)?;
    let mut tokens = text.split_whitespace();
    let mut blocks = Blocks::new();
    while let Some(keyword) = tokens.next() {
        match keyword {
            "base" => {
                if number(tokens.next())? != WORD_BITS {
                    return Ok(Blocks::new());
                }
            }
            "block" => {
                let name = name(tokens.next())?;
                let fields = block(&mut tokens)?;
                if let Some(fields) = one_word(&fields) {
                    blocks.insert(name, fields);
                }
            }
            "tagged_union" => {
                // The tags reach Rust as an enumeration of the generated header.
                if !tokens.any(|token| token == "}") {
                    return Err("a tagged union does not end".into());
                }
            }
            other => return Err(format!("unknown keyword `{other}`")),
        }
    }
    Ok(blocks)
}

/// Removes comments and what `#ifdef` leaves out, and sets braces apart.
fn preprocess(text: &str, defines: &BTreeSet<String>) -> Result<String, String> {
    let mut out = String::new();
    let mut conditions: Vec<bool> = Vec::new();
    for line in text.lines() {
        let line = line.split("--").next().unwrap_or_default();
        let mut directive = line.trim().strip_prefix('#').unwrap_or_default().split_whitespace();
        match (directive.next(), directive.next()) {
            (Some("ifdef"), Some(name)) => conditions.push(defines.contains(name)),
            (Some("ifndef"), Some(name)) => conditions.push(!defines.contains(name)),
            (Some("else"), None) => match conditions.last_mut() {
                Some(condition) => *condition = !*condition,
                None => return Err("`#else` without `#ifdef`".into()),
            },
            (Some("endif"), _) => {
                conditions.pop().ok_or("`#endif` without `#ifdef`")?;
            }
            (Some("include"), Some(_)) => {}
            (Some(other), _) => return Err(format!("unknown directive `#{other}`")),
            (None, _) => {
                if conditions.iter().all(|&condition| condition) {
                    out.push_str(&line.replace('{', " { ").replace('}', " } "));
                    out.push('\n');
                }
            }
        }
    }
    if conditions.is_empty() { Ok(out) } else { Err("`#ifdef` without `#endif`".into()) }
}

/// Reads the entries of a block, each a name (none for padding) and a width.
fn block<'a>(tokens: &mut impl Iterator<Item = &'a str>) -> Result<Vec<(Option<String>, u32)>, String> {
    if tokens.next() != Some("{") {
        return Err("a block without `{`".into());
    }
    let mut entries = Vec::new();
    loop {
        match tokens.next() {
            Some("field" | "field_high") => entries.push((Some(name(tokens.next())?), number(tokens.next())?)),
            Some("padding") => entries.push((None, number(tokens.next())?)),
            Some("}") => return Ok(entries),
            Some(other) => return Err(format!("unknown entry `{other}` in a block")),
            None => return Err("a block does not end".into()),
        }
    }
}

/// Places the entries of a block that is one word.
fn one_word(entries: &[(Option<String>, u32)]) -> Option<Vec<Field>> {
    let mut shift = entries.iter().map(|(_, width)| width).sum::<u32>();
    if shift != WORD_BITS {
        return None;
    }
    let mut fields = Vec::new();
    for (name, width) in entries {
        shift -= width;
        if let Some(name) = name {
            fields.push(Field { name: name.clone(), shift, width: *width });
        }
    }
    Some(fields)
}

fn name(token: Option<&str>) -> Result<String, String> {
    match token {
        Some(token) if token.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') => Ok(token.into()),
        other => Err(format!("a name is missing before `{}`", other.unwrap_or("end of file"))),
    }
}

fn number(token: Option<&str>) -> Result<u32, String> {
    let token = token.unwrap_or("end of file");
    token.parse().map_err(|_| format!("a number is missing before `{token}`"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    const MESSAGE: &str = "\
-- a comment
base 64
block seL4_MessageInfo {
    padding 32
    field label 20  -- and another
    field capsUnwrapped 3
    field extraCaps 2
    field length 7
}";

    fn field(name: &str, shift: u32, width: u32) -> Field {
        Field { name: name.into(), shift, width }
    }

    #[test]
    fn fields_lie_from_high_to_low() {
        let blocks = parse(MESSAGE, &BTreeSet::new()).unwrap();
        assert_eq!(
            blocks["seL4_MessageInfo"],
            [field("label", 12, 20), field("capsUnwrapped", 9, 3), field("extraCaps", 7, 2), field("length", 0, 7)]
        );
    }

    #[test]
    fn another_word_size_is_passed_over() {
        let text = MESSAGE.replace("base 64", "base 32").replace("padding 32", "");
        assert!(parse(&text, &BTreeSet::new()).unwrap().is_empty());
    }

    #[test]
    fn blocks_of_several_words_are_passed_over() {
        let text = "base 64\nblock A { field x 64 field y 64 }\ntagged_union U t { tag A 0 }\nblock B { field z 64 }";
        let blocks = parse(text, &BTreeSet::new()).unwrap();
        assert_eq!(blocks.keys().collect::<Vec<_>>(), ["B"]);
    }

    #[test]
    fn conditions_follow_the_configuration() {
        let text = "#include <autoconf.h>\nbase 64\n#ifdef CONFIG_A\nblock A { field a 64 }\n#else\nblock B { field b 64 }\n#endif";
        let without = parse(text, &BTreeSet::new()).unwrap();
        let with = parse(text, &BTreeSet::from(["CONFIG_A".into()])).unwrap();
        assert!(without.contains_key("B") && !without.contains_key("A"));
        assert!(with.contains_key("A") && !with.contains_key("B"));
    }

    #[test]
    fn broken_files_are_errors() {
        for text in [
            "base",
            "base many",
            "block",
            "block X",
            "block X {",
            "block X { field }",
            "block X { field a }",
            "block X { other a 3 }",
            "tagged_union U t {",
            "nonsense",
            "#ifdef A",
            "#endif",
            "#else",
            "#define X",
        ] {
            assert!(parse(text, &BTreeSet::new()).is_err(), "{text}");
        }
    }
}
