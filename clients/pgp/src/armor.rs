// SPDX-License-Identifier: MIT OR Apache-2.0
//! ASCII armor (RFC 9580, 6).
//!
//! [`Armor`] finds the key blocks in a text and decodes one after another into a buffer of the caller's. Text before,
//! between and behind the blocks is passed over. The checksum is compared and the outcome told, but a wrong one is no
//! error, as RFC 9580 demands (6.1); lines may have any length.

use crate::error::{ParseError, Reason};

/// The armored key blocks of a text.
#[derive(Clone, Debug)]
pub struct Armor<'a> {
    text: &'a [u8],
    rest: &'a [u8],
}

/// A decoded block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Bytes at the start of the buffer that are the block's data.
    pub len: usize,
    /// Whether the block's checksum is right.
    pub checksum: Checksum,
}

/// The optional checksum of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// There is none, as RFC 9580 prefers.
    Missing,
    /// It is right.
    Match,
    /// It is wrong or malformed.
    Mismatch,
}

const BEGIN: &[u8] = b"-----BEGIN PGP ";
const END: &[u8] = b"-----END PGP ";
const DASHES: &[u8] = b"-----";
const PUBLIC: &[u8] = b"PUBLIC KEY BLOCK";
const PRIVATE: &[u8] = b"PRIVATE KEY BLOCK";

impl<'a> Armor<'a> {
    /// Starts at the front of `text`.
    pub const fn new(text: &'a [u8]) -> Self {
        Self { text, rest: text }
    }

    /// Decodes the next block into `buffer`; `None` if there is none.
    ///
    /// # Errors
    /// Refuses malformed armor and armor of something else than keys; [`ParseError::ScratchFull`] if the block does not
    /// fit. After an error there is nothing more to be had.
    pub fn decode_next(&mut self, buffer: &mut [u8]) -> Option<Result<Block, ParseError>> {
        while let Some((line, offset)) = self.line() {
            if let Some(kind) = between(BEGIN, line) {
                return Some(self.block(kind, offset, buffer).inspect_err(|_| self.rest = &[]));
            }
        }
        None
    }

    /// Takes the next line, without white space at its end; with its place in the text.
    fn line(&mut self) -> Option<(&'a [u8], u32)> {
        if self.rest.is_empty() {
            return None;
        }
        let offset = u32::try_from(self.text.len().saturating_sub(self.rest.len())).unwrap_or(u32::MAX);
        let len = self.rest.iter().position(|byte| *byte == b'\n').unwrap_or(self.rest.len());
        let (line, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest.split_first().map_or(&[], |(_, rest)| rest);
        Some((line.trim_ascii_end(), offset))
    }

    /// Decodes the block whose first line, at `offset`, has just been taken.
    fn block(&mut self, kind: &[u8], offset: u32, buffer: &mut [u8]) -> Result<Block, ParseError> {
        if kind != PUBLIC && kind != PRIVATE {
            return Err(Reason::ArmorKind.at(offset));
        }
        self.headers(offset)?;
        let mut decoder = Decoder::new(buffer);
        let mut checksum = None;
        while let Some((line, at)) = self.line() {
            if line.starts_with(b"-") {
                if between(END, line) != Some(kind) {
                    return Err(Reason::ArmorTail.at(at));
                }
                return decoder.finish(checksum, at);
            }
            if line.starts_with(b"=") && decoder.at_boundary() && checksum.is_none() {
                checksum = line.get(1..);
            } else if line.is_empty() {
                continue;
            } else if checksum.is_some() {
                return Err(Reason::ArmorData.at(at));
            } else {
                decoder.line(line, at)?;
            }
        }
        Err(Reason::ArmorTail.at(offset))
    }

    /// Passes over the headers and the empty line behind them.
    fn headers(&mut self, offset: u32) -> Result<(), ParseError> {
        while let Some((line, at)) = self.line() {
            if line.is_empty() {
                return Ok(());
            }
            if !line.contains(&b':') {
                return Err(Reason::ArmorHeader.at(at));
            }
        }
        Err(Reason::ArmorTail.at(offset))
    }
}

/// Returns what stands between `start` and the dashes in a header or tail line.
fn between<'a>(start: &[u8], line: &'a [u8]) -> Option<&'a [u8]> {
    line.strip_prefix(start)?.strip_suffix(DASHES)
}

/// Base64 decoder over the lines of one block.
struct Decoder<'a> {
    buffer: &'a mut [u8],
    /// Decoded bytes, whether they fit or not.
    len: usize,
    /// The bits of the present group of four characters.
    group: u32,
    /// Characters of the present group, padding included.
    characters: u8,
    /// Padding characters of the last group.
    padding: u8,
}

impl<'a> Decoder<'a> {
    const fn new(buffer: &'a mut [u8]) -> Self {
        Self { buffer, len: 0, group: 0, characters: 0, padding: 0 }
    }

    /// Tells whether a whole number of groups has been decoded.
    const fn at_boundary(&self) -> bool {
        self.characters == 0
    }

    /// Decodes a line of data, which starts at `at` in the text.
    fn line(&mut self, line: &[u8], at: u32) -> Result<(), ParseError> {
        let mut rest = line;
        if self.at_boundary() && self.padding == 0 {
            while let Some((four, behind)) = rest.split_first_chunk() {
                let Some(three) = whole_group(*four) else { break };
                self.put(three);
                rest = behind;
            }
        }
        rest.iter().try_for_each(|character| self.character(*character)).map_err(|reason| reason.at(at))
    }

    /// Takes one character that is not in a whole group on one line.
    fn character(&mut self, character: u8) -> Result<(), Reason> {
        if character.is_ascii_whitespace() {
            return Ok(());
        }
        let value = match sextet(character) {
            Some(value) if self.padding == 0 => value,
            None if character == b'=' && self.characters >= 2 => {
                self.padding += 1;
                0
            }
            Some(_) | None => return Err(Reason::ArmorData),
        };
        self.group = self.group << 6 | value;
        self.characters += 1;
        if self.characters == 4 {
            let [_, first, second, third] = self.group.to_be_bytes();
            match self.padding {
                0 => self.put([first, second, third]),
                1 => self.put([first, second]),
                _ => self.put([first]),
            }
            self.group = 0;
            self.characters = 0;
        }
        Ok(())
    }

    /// Appends bytes, or counts them only when they do not fit.
    fn put<const N: usize>(&mut self, bytes: [u8; N]) {
        if let Some(to) = self.buffer.get_mut(self.len..).and_then(|free| free.first_chunk_mut()) {
            *to = bytes;
        }
        self.len = self.len.saturating_add(N);
    }

    /// Ends the block with its tail line, which is at `at` in the text.
    fn finish(self, checksum: Option<&[u8]>, at: u32) -> Result<Block, ParseError> {
        if !self.at_boundary() {
            return Err(Reason::ArmorData.at(at));
        }
        let needed = u32::try_from(self.len).unwrap_or(u32::MAX);
        let data = self.buffer.get(..self.len).ok_or(ParseError::ScratchFull { needed })?;
        let checksum = match checksum {
            None => Checksum::Missing,
            Some(characters) if read_checksum(characters) == Some(crc24(data)) => Checksum::Match,
            Some(_) => Checksum::Mismatch,
        };
        Ok(Block { len: self.len, checksum })
    }
}

/// Reads the four characters behind the equal sign.
fn read_checksum(characters: &[u8]) -> Option<u32> {
    let four = characters.try_into().ok()?;
    let [first, second, third] = whole_group(four)?;
    Some(u32::from_be_bytes([0, first, second, third]))
}

/// Decodes four characters without padding.
fn whole_group(four: [u8; 4]) -> Option<[u8; 3]> {
    let [a, b, c, d] = four.map(digit);
    if (a | b | c | d) & NO_DIGIT != 0 {
        return None;
    }
    let group = u32::from(a) << 18 | u32::from(b) << 12 | u32::from(c) << 6 | u32::from(d);
    let [_, three @ ..] = group.to_be_bytes();
    Some(three)
}

/// Returns the value of a base64 character.
fn sextet(character: u8) -> Option<u32> {
    let value = digit(character);
    (value & NO_DIGIT == 0).then_some(u32::from(value))
}

/// Marks a character that is not one of base64.
const NO_DIGIT: u8 = 0x80;

/// Looks up a base64 character (RFC 4648, 4).
fn digit(character: u8) -> u8 {
    // The table has an entry for every byte; there is no other case.
    DIGITS.get(usize::from(character)).copied().unwrap_or(NO_DIGIT)
}

static DIGITS: [u8; 256] = digits();

const fn digits() -> [u8; 256] {
    let mut table = [NO_DIGIT; 256];
    let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut value = 0;
    while value < digits.len() {
        table[digits[value] as usize] = value as u8;
        value += 1;
    }
    table
}

const CRC_INIT: u32 = 0x00b7_04ce;
const CRC_GENERATOR: u32 = 0x0086_4cfb;

/// Computes the CRC-24 (RFC 9580, 6.1).
fn crc24(data: &[u8]) -> u32 {
    // In the upper 24 bits, so that what is shifted out needs no masking.
    let crc = data.iter().fold(CRC_INIT << 8, |crc, byte| {
        let [top, ..] = crc.to_be_bytes();
        // The table has an entry for every byte; there is no other case.
        crc << 8 ^ CRC_TABLE.get(usize::from(top ^ byte)).copied().unwrap_or(0)
    });
    crc >> 8
}

static CRC_TABLE: [u32; 256] = crc_table();

const fn crc_table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut crc = (index as u32) << 24;
        let mut bit = 0;
        while bit < 8 {
            let carry = crc & 1 << 31 != 0;
            crc <<= 1;
            if carry {
                crc ^= CRC_GENERATOR << 8;
            }
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::String;
    use std::vec::Vec;
    use std::{format, vec};

    /// Decodes all blocks.
    fn decode(text: &str) -> Result<Vec<(Vec<u8>, Checksum)>, ParseError> {
        let mut armor = Armor::new(text.as_bytes());
        let mut buffer = vec![0; text.len()];
        let mut blocks = vec![];
        while let Some(block) = armor.decode_next(&mut buffer) {
            let block = block?;
            blocks.push((buffer.get(..block.len).unwrap().to_vec(), block.checksum));
        }
        Ok(blocks)
    }

    fn block(inner: &str) -> String {
        format!("-----BEGIN PGP PUBLIC KEY BLOCK-----\n{inner}-----END PGP PUBLIC KEY BLOCK-----\n")
    }

    fn reason(text: &str) -> Reason {
        match decode(text) {
            Err(ParseError::Refused { reason, .. }) => reason,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn data_is_decoded() {
        for (inner, data) in [
            ("\nYQ==\n", "a"),
            ("\nYWI=\n", "ab"),
            ("\nYWJj\n", "abc"),
            ("\nYWJjZA==\n", "abcd"),
            ("\nYW\nJj \t\r\n\nZ\nA\n=\n=\n", "abcd"),
            ("Version: 1\nComment:\n \t\nYWJj\n", "abc"),
            ("\n", ""),
        ] {
            assert_eq!(decode(&block(inner)).unwrap(), [(data.into(), Checksum::Missing)], "{inner:?}");
        }
    }

    #[test]
    fn checksum_is_compared() {
        // The CRC-24 of nothing is its initial value; that of the nine digits is the check value of the catalogues.
        assert_eq!(decode(&block("\n=twTO\n")).unwrap(), [("".into(), Checksum::Match)]);
        assert_eq!(decode(&block("\nMTIzNDU2Nzg5\n=Ic8C\n")).unwrap(), [("123456789".into(), Checksum::Match)]);
    }

    #[test]
    fn wrong_checksum_is_told_and_no_error() {
        for wrong in ["=twTP", "=twT", "=twTOO", "=", "====", "=tw*O"] {
            let blocks = decode(&block(&format!("\nYWJj\n{wrong}\n"))).unwrap();
            assert_eq!(blocks, [("abc".into(), Checksum::Mismatch)], "{wrong}");
        }
    }

    #[test]
    fn several_blocks_with_text_around_are_found() {
        let text = format!(
            "My key:\n\n{}between\n-----BEGIN PGP nonsense\n - -----BEGIN PGP MESSAGE-----\n{}behind\n{}",
            block("\nYQ==\n"),
            block("\nYWI=\n"),
            block("\nYWJj\n").replace("PUBLIC", "PRIVATE").replace('\n', "\r\n"),
        );
        let data: Vec<_> = decode(&text).unwrap().into_iter().map(|block| block.0).collect();
        assert_eq!(data, [b"a".to_vec(), b"ab".to_vec(), b"abc".to_vec()]);
        assert_eq!(decode("no armor\nhere").unwrap(), []);
    }

    #[test]
    fn malformed_data_is_refused() {
        for inner in
            ["\nY\n", "\nYQ\n", "\nYQ=\n", "\nY===\n", "\nYQ==YQ==\n", "\nYW*j\n", "\n=twTO\nYWJj\n", "\nYWJj=\n"]
        {
            assert_eq!(reason(&block(inner)), Reason::ArmorData, "{inner:?}");
        }
    }

    #[test]
    fn malformed_frames_are_refused() {
        assert_eq!(reason(&block("YWJj\n")), Reason::ArmorHeader);
        assert_eq!(reason("-----BEGIN PGP MESSAGE-----\n\n"), Reason::ArmorKind);
        assert_eq!(reason(&block("\n").replace("END PGP PUBLIC", "END PGP PRIVATE")), Reason::ArmorTail);
        assert_eq!(reason(&block("\n-\n")), Reason::ArmorTail);
        let whole = block("Version: 1\n\nYWJj\n=uhx7\n");
        for len in 40..whole.len() - 2 {
            let cut = whole.get(..len).unwrap();
            assert!(matches!(reason(cut), Reason::ArmorTail | Reason::ArmorHeader | Reason::ArmorData), "{cut}");
        }
    }

    #[test]
    fn buffer_too_small_tells_what_is_needed() {
        let text = block("\nYWJjZA==\n");
        for len in 0..4 {
            let mut armor = Armor::new(text.as_bytes());
            let result = armor.decode_next(&mut vec![0; len]);
            assert_eq!(result, Some(Err(ParseError::ScratchFull { needed: 4 })));
            assert_eq!(armor.decode_next(&mut [0; 9]), None, "nothing more after an error");
        }
        assert!(Armor::new(text.as_bytes()).decode_next(&mut [0; 4]).unwrap().is_ok());
    }
}
