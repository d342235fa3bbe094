// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where the parameters of an invocation lie in its message.
//!
//! The rules are those of the kernel's own stub generator (`libsel4/tools/syscall_stub_gen.py`): parameters follow each
//! other in the order of the interface file; each is aligned to its own size, or to a word where it is larger; nothing
//! straddles a word but structures, which take whole words.

/// Bits of a message word.
pub(crate) const WORD_BITS: u32 = 64;

/// How a parameter travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// As a capability, beside the message words.
    Cap,
    /// As this many bits of one word.
    Bits(u32),
    /// As this many words.
    Words(u32),
}

/// A part of a parameter in one message word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Index of the parameter in the list that was laid out.
    pub(crate) param: usize,
    /// Index of the word within the parameter: 0 but in structures.
    pub(crate) part: u32,
    /// Index of the message word.
    pub(crate) word: u32,
    /// Lowest bit in that word.
    pub(crate) shift: u32,
    /// Number of bits.
    pub(crate) bits: u32,
}

/// Lays out parameters, and returns the places of those that travel in message words, in ascending order.
///
/// # Errors
/// A parameter whose size is neither a power of two up to a word nor a number of words: the index of it.
pub(crate) fn places(kinds: &[Kind]) -> Result<Vec<Place>, usize> {
    let mut next_bit = 0;
    let mut places = Vec::new();
    for (param, kind) in kinds.iter().enumerate() {
        let (bits, parts) = match *kind {
            Kind::Cap => continue,
            Kind::Bits(bits) if bits.is_power_of_two() && bits <= WORD_BITS => (bits, 1),
            Kind::Bits(_) => return Err(param),
            Kind::Words(parts) => (WORD_BITS, parts),
        };
        next_bit = u32::next_multiple_of(next_bit, bits);
        for part in 0..parts {
            places.push(Place { param, part, word: next_bit / WORD_BITS, shift: next_bit % WORD_BITS, bits });
            next_bit += bits;
        }
    }
    Ok(places)
}

/// Returns the number of message words that `places` take.
pub(crate) fn words(places: &[Place]) -> u32 {
    places.last().map_or(0, |last| last.word + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(param: usize, word: u32, shift: u32, bits: u32) -> Place {
        Place { param, part: 0, word, shift, bits }
    }

    #[test]
    fn words_follow_each_other() {
        let places = places(&[Kind::Bits(64), Kind::Bits(64)]);
        assert_eq!(places, Ok(vec![place(0, 0, 0, 64), place(1, 1, 0, 64)]));
    }

    #[test]
    fn small_parameters_share_a_word() {
        // seL4_TCB_WriteRegisters: resume (1 bit), arch_flags (8 bits), count, registers.
        let places = places(&[Kind::Bits(1), Kind::Bits(8), Kind::Bits(64), Kind::Words(2)]);
        assert_eq!(
            places,
            Ok(vec![
                place(0, 0, 0, 1),
                place(1, 0, 8, 8),
                place(2, 1, 0, 64),
                place(3, 2, 0, 64),
                Place { param: 3, part: 1, word: 3, shift: 0, bits: 64 },
            ])
        );
    }

    #[test]
    fn a_parameter_that_does_not_fit_starts_a_word() {
        let places = places(&[Kind::Bits(32), Kind::Bits(16), Kind::Bits(32)]);
        assert_eq!(places, Ok(vec![place(0, 0, 0, 32), place(1, 0, 32, 16), place(2, 1, 0, 32)]));
    }

    #[test]
    fn capabilities_take_no_words() {
        let places = places(&[Kind::Bits(64), Kind::Cap, Kind::Bits(8)]);
        assert_eq!(places, Ok(vec![place(0, 0, 0, 64), place(2, 1, 0, 8)]));
    }

    #[test]
    fn an_odd_size_is_refused() {
        assert_eq!(places(&[Kind::Bits(64), Kind::Bits(24)]), Err(1));
        assert_eq!(places(&[Kind::Bits(128)]), Err(0));
    }

    #[test]
    fn counts_words() {
        assert_eq!(words(&[]), 0);
        assert_eq!(places(&[Kind::Bits(8)]).map(|places| words(&places)), Ok(1));
        assert_eq!(places(&[Kind::Bits(8), Kind::Words(20)]).map(|places| words(&places)), Ok(21));
    }
}
