// SPDX-License-Identifier: MIT OR Apache-2.0
//! Keyrings in any form: what the sandboxed function does.

use crate::armor::{Armor, Checksum};
use crate::error::{ParseError, Reason};
use crate::packet::{Header, Kind};
use crate::parser::{Options, Parser, Sink, Summary};
use crate::records::Writer;

/// Returns a scratch size that is enough for every input of `input_len` bytes.
pub const fn scratch_bound(input_len: usize) -> usize {
    // Four characters make at most three bytes.
    input_len / 4 * 3 + 3
}

/// Parses a keyring, binary or armored, and writes what it holds into `output` as [records](crate::records).
///
/// Returns the bytes used in `output`. Armored blocks are decoded into `scratch`, one after another; for binary input it
/// may be empty. `output` needs [`capacity_bound`](crate::records::capacity_bound) bytes at most, usually much less.
///
/// # Errors
/// [`ParseError`]; the header in `output` tells it too, and what was found before the error stands behind it.
pub fn parse_keyring(input: &[u8], scratch: &mut [u8], output: &mut [u8], options: Options) -> Result<u32, ParseError> {
    let mut writer = Writer::new(output);
    let mut parser = Parser::new(options);
    let result = parse_any(input, scratch, &mut parser, &mut writer);
    writer.finish(&parser.summary, result.map(|_: Summary| ()))
}

fn parse_any(
    input: &[u8],
    scratch: &mut [u8],
    parser: &mut Parser,
    sink: &mut impl Sink,
) -> Result<Summary, ParseError> {
    if u32::try_from(input.len()).is_err() {
        return Err(ParseError::InputTooLarge);
    }
    match form(input)? {
        Form::Binary => parser.sequence(input, sink)?,
        Form::Text => {
            if !parse_armored(input, scratch, parser, sink)? {
                return Err(Reason::NotOpenPgp.at(0));
            }
        }
        Form::Unclear => {
            if !parse_armored(input, scratch, parser, sink)? {
                parser.sequence(input, sink)?;
            }
        }
    }
    parser.finish()
}

/// Parses all armored blocks; false if there is none.
fn parse_armored(
    input: &[u8],
    scratch: &mut [u8],
    parser: &mut Parser,
    sink: &mut impl Sink,
) -> Result<bool, ParseError> {
    let mut armor = Armor::new(input);
    let mut found = false;
    while let Some(block) = armor.decode_next(scratch) {
        let block = block?;
        found = true;
        match block.checksum {
            Checksum::Missing | Checksum::Match => {}
            Checksum::Mismatch => parser.summary.checksum_mismatches += 1,
        }
        parser.sequence(scratch.get(..block.len).unwrap_or_default(), sink)?;
    }
    Ok(found)
}

/// What the input looks like.
enum Form {
    /// Starts with a packet with which keyrings start.
    Binary,
    /// Starts with a byte that starts no packet.
    Text,
    /// Starts with another packet, or with a character that looks like one, as in many languages.
    Unclear,
}

/// Tells the forms apart by the first bytes.
fn form(input: &[u8]) -> Result<Form, ParseError> {
    const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
    if input.get(8..12) == Some(b"KBXf") {
        return Err(Reason::Keybox.at(0));
    }
    let Some(first) = input.first() else { return Err(Reason::NoKeys.at(0)) };
    if first & 0x80 == 0 || input.starts_with(BYTE_ORDER_MARK) {
        return Ok(Form::Text);
    }
    let header = Header::read(&mut crate::cursor::Cursor::new(input));
    Ok(match header.map(|header| header.kind) {
        Ok(Kind::PublicKey | Kind::SecretKey) => Form::Binary,
        Ok(_) | Err(_) => Form::Unclear,
    })
}
