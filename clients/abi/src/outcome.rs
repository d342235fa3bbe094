// SPDX-License-Identifier: MIT OR Apache-2.0
//! How a call ended: the label of the reply that a client gets from its sandbox's endpoint.
//!
//! A sandbox can answer with any label and words that it likes; it thereby chooses its own result, as it could by
//! returning it. So the client decodes with [`Outcome::decode`] and treats everything in it as the sandbox's word.

use crate::{Asked, Fault, limits::PANIC_TEXT_BYTES};

/// Label of a reply to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum Label {
    /// The function ran to its end; two words of result follow.
    Returned = 0,
    /// The call was aborted: by a fault, its time, or another client. The three words of [`Fault`] follow.
    Aborted = 1,
    /// The function panicked; the number of bytes of text in the argument page follows.
    Panicked = 2,
    /// The function asks for something and waits: the three words of a request follow, [`Asked`] first.
    Asked = 3,
    /// The heap had no room, which the function did not allow for; the number of bytes that it asked for follows.
    NoRoom = 4,
}

/// Second word of a result or an answer that did not fit two words: its form stands in the mailbox, and the first word is
/// its length.
pub const CODED: u64 = u64::MAX;

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The function ran to its end and returned these words.
    Returned([u64; 2]),
    /// The call was aborted.
    Aborted(Fault),
    /// The function panicked and left that many bytes of text, at most [`PANIC_TEXT_BYTES`].
    Panicked(u32),
    /// The function asks for something: the head of its request, and two words with it.
    Asked(Asked, [u64; 2]),
    /// The heap had no room for that many bytes.
    NoRoom(u64),
    /// The reply is none of these: the sandbox made it up.
    Garbled,
}

impl Outcome {
    /// Decodes a reply from its label and first three words.
    #[inline]
    #[must_use]
    pub fn decode(label: u64, words: [u64; 3]) -> Self {
        if label == Label::Returned as u64 {
            return Self::Returned([words[0], words[1]]);
        }
        Self::decode_abnormal(label, words)
    }

    #[cold]
    fn decode_abnormal(label: u64, words: [u64; 3]) -> Self {
        if label == Label::Aborted as u64 {
            return Fault::from_words(words).map_or(Self::Garbled, Self::Aborted);
        }
        if label == Label::Asked as u64 {
            return Asked::from_word(words[0]).map_or(Self::Garbled, |head| Self::Asked(head, [words[1], words[2]]));
        }
        if label == Label::Panicked as u64 {
            return u32::try_from(words[0])
                .ok()
                .filter(|length| *length <= PANIC_TEXT_BYTES)
                .map_or(Self::Garbled, Self::Panicked);
        }
        if label == Label::NoRoom as u64 { Self::NoRoom(words[0]) } else { Self::Garbled }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Access, FaultKind};

    #[test]
    fn each_label_decodes_to_its_outcome() {
        let fault = Fault { kind: FaultKind::Exception, access: Access::None, vector: 6, address: 0, ip: 1 };
        assert_eq!(Outcome::decode(0, [4, 5, 6]), Outcome::Returned([4, 5]));
        assert_eq!(Outcome::decode(1, fault.words()), Outcome::Aborted(fault));
        assert_eq!(Outcome::decode(2, [9, 0, 0]), Outcome::Panicked(9));
        let head = Asked::new(2, 7, 9).coded();
        assert_eq!(Outcome::decode(3, [head.into_word(), 5, 6]), Outcome::Asked(head, [5, 6]));
        let longest = PANIC_TEXT_BYTES;
        assert_eq!(Outcome::decode(2, [longest.into(), 0, 0]), Outcome::Panicked(longest));
        assert_eq!(Outcome::decode(4, [u64::MAX, 7, 8]), Outcome::NoRoom(u64::MAX));
    }

    #[test]
    fn what_no_one_would_send_is_garbled() {
        assert_eq!(Outcome::decode(5, [0; 3]), Outcome::Garbled);
        assert_eq!(Outcome::decode(3, [u64::MAX, 0, 0]), Outcome::Garbled);
        assert_eq!(Outcome::decode(2, [1 << 32, 0, 0]), Outcome::Garbled);
        assert_eq!(Outcome::decode(1, [0; 3]), Outcome::Garbled);
        assert_eq!(Outcome::decode(2, [u64::from(PANIC_TEXT_BYTES) + 1, 0, 0]), Outcome::Garbled);
    }
}
