// SPDX-License-Identifier: MIT OR Apache-2.0
//! The sequence of packets that makes a keyring (RFC 9580, 10.1 and 10.2).
//!
//! [`parse`] goes over the packets once and hands each key, user id and user attribute to a [`Sink`]. It keeps nothing
//! but counters, so its memory does not depend on the input, and its work is linear: every byte of a key is hashed once,
//! the bodies of all other packets are stepped over.
//!
//! The order is taken loosely in one point: user ids and subkeys of a certificate may come in any order, as they do in
//! keyrings that were merged by other programs. Nothing may come before the first primary key.

use crate::cursor::Cursor;
use crate::error::{ParseError, Reason};
use crate::key::{self, Key, KeyVersion, Role};
use crate::packet::{Header, Kind};

/// How to parse; the default is right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// **Deliberately wrong; for the demonstration.** The parser has this bug.
    #[cfg(feature = "planted-bug")]
    pub planted_bug: Option<PlantedBug>,
}

/// **Deliberately wrong; for the demonstration.** What the parser does with the length that a packet claims.
#[cfg(feature = "planted-bug")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlantedBug {
    /// Copies as many bytes of a user id: reads past the input and writes past the output, as a parser in C with that bug
    /// would do. Undefined behaviour outside a sandbox.
    Overrun,
    /// Steps over as many bytes, in 32 bits: never ends where that leads back.
    Loop,
}

impl Options {
    /// Switches a planted bug on.
    #[cfg(feature = "planted-bug")]
    #[must_use]
    pub const fn with_planted_bug(mut self, planted_bug: PlantedBug) -> Self {
        self.planted_bug = Some(planted_bug);
        self
    }
}

/// A user id as it stands in the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserId<'a> {
    /// The text, which should be UTF-8 and need not be.
    pub bytes: &'a [u8],
    /// Where the packet starts in the (decoded) input.
    pub offset: u32,
}

/// A user attribute (an image, mostly), of which only the size is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserAttribute {
    /// Size of the packet's body in bytes.
    pub len: u32,
    /// Where the packet starts in the (decoded) input.
    pub offset: u32,
}

/// Takes what the parser finds, in the order of the input.
///
/// A subkey, user id or attribute belongs to the last primary key before it. A sink that runs out of room counts on, so
/// that it can tell how much room is needed.
pub trait Sink {
    /// Takes a key.
    fn key(&mut self, key: &Key<'_>);

    /// Takes a user id.
    fn user_id(&mut self, user_id: UserId<'_>);

    /// Takes a user attribute.
    fn user_attribute(&mut self, attribute: UserAttribute);

    /// Takes a user id of `claimed` bytes from `start` in `input`, whether they are there or not.
    #[cfg(feature = "planted-bug")]
    fn user_id_as_claimed(&mut self, input: &[u8], start: usize, claimed: usize) {
        let _ = (input, start, claimed);
    }
}

/// What a keyring holds, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Primary keys.
    pub primary_keys: u32,
    /// Subkeys.
    pub subkeys: u32,
    /// User ids.
    pub user_ids: u32,
    /// User attributes.
    pub user_attributes: u32,
    /// Signatures, which are not looked at.
    pub signatures: u32,
    /// Packets that were ignored: marker, trust, padding, and unknown non-critical ones.
    pub ignored: u32,
    /// Armored blocks whose checksum is wrong, which is no reason to refuse them (RFC 9580, 6.1).
    pub checksum_mismatches: u32,
}

/// Parses binary packets and hands what it finds to `sink`.
///
/// # Errors
/// Refuses input that is no sequence of OpenPGP keys, with the place and the reason. What was found before that has gone
/// to the sink.
pub fn parse(input: &[u8], options: Options, sink: &mut impl Sink) -> Result<Summary, ParseError> {
    let mut parser = Parser::new(options);
    parser.sequence(input, sink)?;
    parser.finish()
}

/// A parse over one or more sequences of packets.
pub(crate) struct Parser {
    pub(crate) summary: Summary,
    #[cfg(feature = "planted-bug")]
    options: Options,
    /// Bytes of the sequences before the present one.
    base: u32,
}

impl Parser {
    #[cfg_attr(not(feature = "planted-bug"), expect(unused_variables, reason = "there is nothing to choose"))]
    pub(crate) fn new(options: Options) -> Self {
        Self {
            summary: Summary::default(),
            #[cfg(feature = "planted-bug")]
            options,
            base: 0,
        }
    }

    /// Parses one whole sequence; no packet or certificate goes on from the one before.
    pub(crate) fn sequence(&mut self, input: &[u8], sink: &mut impl Sink) -> Result<(), ParseError> {
        let len = u32::try_from(input.len()).map_err(|_| ParseError::InputTooLarge)?;
        let end = self.base.checked_add(len).ok_or(ParseError::InputTooLarge)?;
        #[cfg(feature = "planted-bug")]
        if self.options.planted_bug == Some(PlantedBug::Loop) {
            core::hint::black_box(crate::planted::count_as_claimed(input));
        }
        let mut cursor = Cursor::new(input);
        let mut primary = None;
        while !cursor.is_empty() {
            let offset = end.saturating_sub(u32::try_from(cursor.rest().len()).unwrap_or(u32::MAX));
            #[cfg(feature = "planted-bug")]
            self.trust_claimed_length(input, cursor, sink);
            self.packet(&mut cursor, offset, &mut primary, sink).map_err(|reason| reason.at(offset))?;
        }
        self.base = end;
        Ok(())
    }

    /// Ends the parse.
    pub(crate) fn finish(&self) -> Result<Summary, ParseError> {
        if self.summary.primary_keys == 0 {
            return Err(Reason::NoKeys.at(self.base));
        }
        Ok(self.summary)
    }

    /// Takes one packet; `primary` is the version of the certificate's primary key, if there was one.
    fn packet(
        &mut self,
        cursor: &mut Cursor<'_>,
        offset: u32,
        primary: &mut Option<KeyVersion>,
        sink: &mut impl Sink,
    ) -> Result<(), Reason> {
        let header = Header::read(cursor)?;
        let body = header.body(cursor)?;
        match header.kind {
            Kind::Ignored | Kind::NonCritical => count(&mut self.summary.ignored),
            Kind::PublicKey => self.primary_key(body, false, offset, primary, sink)?,
            Kind::SecretKey => self.primary_key(body, true, offset, primary, sink)?,
            Kind::PublicSubkey => self.subkey(body, false, offset, *primary, sink)?,
            Kind::SecretSubkey => self.subkey(body, true, offset, *primary, sink)?,
            Kind::UserId | Kind::UserAttribute | Kind::Signature if primary.is_none() => {
                return Err(Reason::MissingPrimaryKey);
            }
            Kind::Signature => count(&mut self.summary.signatures),
            Kind::UserId => {
                count(&mut self.summary.user_ids);
                sink.user_id(UserId { bytes: body, offset });
            }
            Kind::UserAttribute => {
                count(&mut self.summary.user_attributes);
                // A body is part of the input, which has fewer than 2^32 bytes.
                let len = u32::try_from(body.len()).unwrap_or(u32::MAX);
                sink.user_attribute(UserAttribute { len, offset });
            }
        }
        Ok(())
    }

    fn primary_key(
        &mut self,
        body: &[u8],
        secret: bool,
        offset: u32,
        primary: &mut Option<KeyVersion>,
        sink: &mut impl Sink,
    ) -> Result<(), Reason> {
        let key = key::parse(body, Role::Primary, secret, offset)?;
        *primary = Some(key.version);
        count(&mut self.summary.primary_keys);
        sink.key(&key);
        Ok(())
    }

    fn subkey(
        &mut self,
        body: &[u8],
        secret: bool,
        offset: u32,
        primary: Option<KeyVersion>,
        sink: &mut impl Sink,
    ) -> Result<(), Reason> {
        let primary = primary.ok_or(Reason::MissingPrimaryKey)?;
        let key = key::parse(body, Role::Subkey, secret, offset)?;
        // Versions 2 and 3 have no subkeys, the others only such of their own version.
        if primary != key.version || matches!(primary, KeyVersion::V2 | KeyVersion::V3) {
            return Err(Reason::SubkeyVersion);
        }
        count(&mut self.summary.subkeys);
        sink.key(&key);
        Ok(())
    }

    /// Does what a parser must not do, if asked for: see [`Options`].
    #[cfg(feature = "planted-bug")]
    fn trust_claimed_length(&self, input: &[u8], mut cursor: Cursor<'_>, sink: &mut impl Sink) {
        let Ok(header) = Header::read(&mut cursor) else { return };
        let is_cut = header.kind == Kind::UserId && header.claimed() > cursor.rest().len();
        if self.options.planted_bug == Some(PlantedBug::Overrun) && is_cut {
            let start = input.len().saturating_sub(cursor.rest().len());
            sink.user_id_as_claimed(input, start, header.claimed());
        }
    }
}

/// Counts one more; packets are at least two bytes, so the counter never reaches its end.
fn count(counter: &mut u32) {
    *counter = counter.saturating_add(1);
}
