// SPDX-License-Identifier: MIT OR Apache-2.0
//! ASCII armor (RFC 9580, 6).
//!
//! [`blocks`] finds the key blocks in a text and decodes one after another. Text before, between and behind the blocks is
//! passed over. The checksum is compared and the outcome told, but a wrong one is no error, as RFC 9580 demands (6.1); lines
//! may have any length.

use alloc::vec::Vec;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use crc::{CRC_24_OPENPGP, Crc, Table};

use crate::error::{ParseError, Reason};

/// A block's data, and whether it has a checksum that is wrong or malformed.
type Block = (Vec<u8>, bool);

const BEGIN: &[u8] = b"-----BEGIN PGP ";
const END: &[u8] = b"-----END PGP ";
const DASHES: &[u8] = b"-----";
const PUBLIC: &[u8] = b"PUBLIC KEY BLOCK";
const PRIVATE: &[u8] = b"PRIVATE KEY BLOCK";

/// Bits behind the last whole octet may be any.
static BASE64: GeneralPurpose =
    GeneralPurpose::new(&STANDARD, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));

/// The checksum (RFC 9580, 6.1).
static CRC: Crc<u32, Table<1>> = Crc::<u32, Table<1>>::new(&CRC_24_OPENPGP);

/// Yields the data of the armored key blocks of a text.
pub(crate) fn blocks(text: &[u8]) -> impl Iterator<Item = Result<Block, ParseError>> {
    let mut lines = text.split_inclusive(|byte| *byte == b'\n').scan(0_usize, |end, line| {
        let at = u32::try_from(*end).unwrap_or(u32::MAX);
        *end += line.len();
        Some((line.trim_ascii_end(), at))
    });
    core::iter::from_fn(move || {
        let (kind, at) = lines.find_map(|(line, at)| Some((between(BEGIN, line)?, at)))?;
        Some(block(&mut lines, kind, at))
    })
}

/// Decodes the block whose first line, at `offset`, has just been taken.
fn block<'a>(lines: &mut impl Iterator<Item = (&'a [u8], u32)>, kind: &[u8], offset: u32) -> Result<Block, ParseError> {
    if kind != PUBLIC && kind != PRIVATE {
        return Err(Reason::ArmorKind.at(offset));
    }
    headers(lines, offset)?;
    let (mut data, mut digits, mut is_padded) = (Vec::new(), Vec::new(), false);
    let mut checksum = None;
    for (line, at) in lines {
        if line.starts_with(b"-") {
            if between(END, line) != Some(kind) {
                return Err(Reason::ArmorTail.at(at));
            }
            if !digits.is_empty() {
                return Err(Reason::ArmorData.at(at));
            }
            let is_wrong = checksum.is_some_and(|checksum| !is_of(checksum, &data));
            return Ok((data, is_wrong));
        }
        if line.starts_with(b"=") && digits.is_empty() && checksum.is_none() {
            checksum = line.get(1..);
            continue;
        }
        digits.extend(line.iter().filter(|character| !character.is_ascii_whitespace()));
        let (groups, begun) = digits.split_at(digits.len() / 4 * 4);
        let is_behind_end = (is_padded || checksum.is_some()) && !digits.is_empty();
        is_padded |= groups.ends_with(b"=");
        let is_cut = !may_begin_group(begun) || is_padded && !begun.is_empty();
        if is_behind_end || is_cut || BASE64.decode_vec(groups, &mut data).is_err() {
            return Err(Reason::ArmorData.at(at));
        }
        digits = begun.to_vec();
    }
    Err(Reason::ArmorTail.at(offset))
}

/// Passes over the headers and the empty line behind them.
fn headers<'a>(lines: &mut impl Iterator<Item = (&'a [u8], u32)>, offset: u32) -> Result<(), ParseError> {
    for (line, at) in lines {
        if line.is_empty() {
            return Ok(());
        }
        if !line.contains(&b':') {
            return Err(Reason::ArmorHeader.at(at));
        }
    }
    Err(Reason::ArmorTail.at(offset))
}

/// Returns what stands between `start` and the dashes in a header or tail line.
fn between<'a>(start: &[u8], line: &'a [u8]) -> Option<&'a [u8]> {
    line.strip_prefix(start)?.strip_suffix(DASHES)
}

/// Tells whether a group of four characters may begin with these: padding stands behind two others.
fn may_begin_group(characters: &[u8]) -> bool {
    characters.iter().enumerate().all(|(at, character)| match character {
        b'=' => at >= 2,
        b'+' | b'/' => true,
        other => other.is_ascii_alphanumeric(),
    })
}

/// Tells whether a checksum, as it stands behind the equal sign, is that of the data.
fn is_of(checksum: &[u8], data: &[u8]) -> bool {
    let [_, sum @ ..] = CRC.checksum(data).to_be_bytes();
    BASE64.decode(checksum).is_ok_and(|checksum| checksum == sum)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    extern crate std;
    use super::*;
    use std::format;
    use std::string::String;
    use std::vec::Vec;

    /// Decodes all blocks.
    fn decode(text: &str) -> Result<Vec<Block>, ParseError> {
        blocks(text.as_bytes()).collect()
    }

    fn block(inner: &str) -> String {
        format!("-----BEGIN PGP PUBLIC KEY BLOCK-----\n{inner}-----END PGP PUBLIC KEY BLOCK-----\n")
    }

    fn reason(text: &str) -> Reason {
        match decode(text) {
            Err(ParseError { reason, .. }) => reason,
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
            assert_eq!(decode(&block(inner)).unwrap(), [(data.into(), false)], "{inner:?}");
        }
    }

    #[test]
    fn checksum_is_compared() {
        // The CRC-24 of nothing is its initial value; that of the nine digits is the check value of the catalogues.
        assert_eq!(decode(&block("\n=twTO\n")).unwrap(), [("".into(), false)]);
        assert_eq!(decode(&block("\nMTIzNDU2Nzg5\n=Ic8C\n")).unwrap(), [("123456789".into(), false)]);
    }

    #[test]
    fn wrong_checksum_is_told_and_no_error() {
        for wrong in ["=twTP", "=twT", "=twTOO", "=", "====", "=tw*O"] {
            let blocks = decode(&block(&format!("\nYWJj\n{wrong}\n"))).unwrap();
            assert_eq!(blocks, [("abc".into(), true)], "{wrong}");
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
}
