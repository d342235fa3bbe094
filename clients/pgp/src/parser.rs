// SPDX-License-Identifier: MIT OR Apache-2.0
//! The sequence of packets that makes a keyring (RFC 9580, 10.1 and 10.2), in any form.
//!
//! The work is linear: every byte of a key is hashed once, the bodies of all other packets are stepped over.
//!
//! The order is taken loosely in one point: user ids and subkeys of a certificate may come in any order, as they do in
//! keyrings that were merged by other programs. Nothing may come before the first primary key.

use crate::armor;
use crate::error::{ParseError, Reason};
use crate::key;
use crate::keyring::{Entry, Keyring, Role};
use crate::packet::{Header, Kind};

/// Parses a keyring, binary or armored.
///
/// # Errors
/// Refuses input that is no sequence of OpenPGP keys, with the place and the reason.
pub fn parse(input: &[u8]) -> Result<Keyring, ParseError> {
    if u32::try_from(input.len()).is_err() {
        return Err(Reason::InputTooLarge.at(0));
    }
    let mut parser = Parser { keyring: Keyring::new(), base: 0 };
    let is_binary = match form(input)? {
        Form::Binary => true,
        Form::Text if parser.armored(input)? => false,
        Form::Text => return Err(Reason::NotOpenPgp.at(0)),
        Form::Unclear => !parser.armored(input)?,
    };
    if is_binary {
        parser.sequence(input)?;
    }
    if parser.keyring.entries.is_empty() {
        return Err(Reason::NoKeys.at(parser.base));
    }
    Ok(parser.keyring)
}

/// A parse over one or more sequences of packets.
struct Parser {
    keyring: Keyring,
    /// Bytes of the sequences before the present one.
    base: u32,
}

impl Parser {
    /// Parses all armored blocks; false if there is none.
    fn armored(&mut self, input: &[u8]) -> Result<bool, ParseError> {
        let mut found = false;
        for block in armor::blocks(input) {
            let (data, is_wrong) = block?;
            found = true;
            self.keyring.checksum_mismatches += u32::from(is_wrong);
            self.sequence(&data)?;
        }
        Ok(found)
    }

    /// Parses one whole sequence; no packet or certificate goes on from the one before.
    fn sequence(&mut self, input: &[u8]) -> Result<(), ParseError> {
        let end = u32::try_from(input.len()).ok().and_then(|len| self.base.checked_add(len));
        let end = end.ok_or(Reason::InputTooLarge.at(0))?;
        let (mut rest, mut primary) = (input, None);
        while !rest.is_empty() {
            let offset = end.saturating_sub(u32::try_from(rest.len()).unwrap_or(u32::MAX));
            self.packet(&mut rest, &mut primary).map_err(|reason| reason.at(offset))?;
        }
        self.base = end;
        Ok(())
    }

    /// Takes one packet; `primary` is the version of the certificate's primary key, if there was one.
    fn packet(&mut self, rest: &mut &[u8], primary: &mut Option<u8>) -> Result<(), Reason> {
        let header = Header::read(rest)?;
        let body = header.body(rest)?;
        let secret = matches!(header.kind, Kind::SecretKey | Kind::SecretSubkey);
        // A body is part of the input, which has fewer than 2^32 bytes.
        let len = u32::try_from(body.len()).unwrap_or(u32::MAX);
        match header.kind {
            Kind::Ignored | Kind::NonCritical => {}
            Kind::PublicKey | Kind::SecretKey => {
                let (key, oid) = key::parse(body, Role::PRIMARY_KEY, secret)?;
                *primary = Some(key.version);
                self.keyring.push(key, oid);
            }
            Kind::PublicSubkey | Kind::SecretSubkey => {
                let primary = primary.ok_or(Reason::MissingPrimaryKey)?;
                let (key, oid) = key::parse(body, Role::SUBKEY, secret)?;
                // Versions 2 and 3 have no subkeys, the others only such of their own version.
                if primary != key.version || primary < 4 {
                    return Err(Reason::SubkeyVersion);
                }
                self.keyring.push(key, oid);
            }
            _ if primary.is_none() => return Err(Reason::MissingPrimaryKey),
            Kind::Signature => {}
            Kind::UserId => self.keyring.push(Entry::new(Role::USER_ID, len), body),
            Kind::UserAttribute => self.keyring.push(Entry::new(Role::USER_ATTRIBUTE, len), &[]),
        }
        Ok(())
    }
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
    Ok(match Header::read(&mut &*input) {
        Ok(Header { kind: Kind::PublicKey | Kind::SecretKey, .. }) => Form::Binary,
        Ok(_) | Err(_) => Form::Unclear,
    })
}
