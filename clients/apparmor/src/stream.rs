// SPDX-License-Identifier: MIT OR Apache-2.0
//! The elements of a policy: a byte that tells the kind, a value, and before both perhaps a name.
//!
//! As in the kernel, an element that is not the one asked for is no error: the stream stays where it is, and whoever
//! needs the element says what is missing.

/// Kinds of elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    U8 = 0,
    U16 = 1,
    U32 = 2,
    U64 = 3,
    Name = 4,
    String = 5,
    Blob = 6,
    Struct = 7,
    StructEnd = 8,
    Array = 11,
    ArrayEnd = 12,
}

/// A policy, and how far it was read.
#[derive(Clone, Debug)]
pub(crate) struct Stream<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Stream<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Returns how many bytes were read.
    pub(crate) const fn at(&self) -> usize {
        self.at
    }

    pub(crate) const fn is_at_end(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// Returns the bytes from `start` up to here.
    pub(crate) fn since(&self, start: usize) -> &'a [u8] {
        self.bytes.get(start..self.at).unwrap_or_default()
    }

    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let taken = self.rest().get(..len)?;
        self.at += len;
        Some(taken)
    }

    fn take_array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let taken = *self.rest().first_chunk()?;
        self.at += N;
        Some(taken)
    }

    /// Runs a step, and goes back to where it began if it comes to nothing.
    fn attempt<T>(&mut self, step: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        let start = self.at;
        let result = step(self);
        if result.is_none() {
            self.at = start;
        }
        result
    }

    fn kind(&mut self, kind: Kind) -> Option<()> {
        self.attempt(|stream| (stream.take_array::<1>()? == [kind as u8]).then_some(()))
    }

    fn chunk(&mut self) -> Option<&'a [u8]> {
        let len = u16::from_le_bytes(self.take_array()?);
        self.take(len.into())
    }

    /// Takes the front of an element: its name, which must be `name` if that is given, and its kind.
    pub(crate) fn element(&mut self, kind: Kind, name: Option<&str>) -> Option<()> {
        self.attempt(|stream| {
            let tag = if stream.kind(Kind::Name).is_some() { Some(stream.chunk()?) } else { None };
            if let Some(name) = name {
                let tag = tag?.strip_suffix(b"\0")?;
                if tag.split(|byte| *byte == 0).next() != Some(name.as_bytes()) {
                    return None;
                }
            }
            stream.kind(kind)
        })
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.attempt(|stream| {
            stream.element(Kind::U8, None)?;
            stream.take_array().map(u8::from_le_bytes)
        })
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.attempt(|stream| {
            stream.element(Kind::U16, None)?;
            stream.take_array().map(u16::from_le_bytes)
        })
    }

    pub(crate) fn u32(&mut self, name: Option<&str>) -> Option<u32> {
        self.attempt(|stream| {
            stream.element(Kind::U32, name)?;
            stream.take_array().map(u32::from_le_bytes)
        })
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.attempt(|stream| {
            stream.element(Kind::U64, None)?;
            stream.take_array().map(u64::from_le_bytes)
        })
    }

    /// Takes the front of an array and returns how many elements it says to have.
    pub(crate) fn array(&mut self, name: Option<&str>) -> Option<u16> {
        self.attempt(|stream| {
            stream.element(Kind::Array, name)?;
            stream.take_array().map(u16::from_le_bytes)
        })
    }

    /// Takes bytes that say how many they are.
    pub(crate) fn blob(&mut self, name: Option<&str>) -> Option<&'a [u8]> {
        self.attempt(|stream| {
            stream.element(Kind::Blob, name)?;
            let len = u32::from_le_bytes(stream.take_array()?);
            stream.take(usize::try_from(len).ok()?)
        })
    }

    /// Takes a string and returns it without the zero at its end.
    pub(crate) fn string(&mut self, name: Option<&str>) -> Option<&'a [u8]> {
        self.attempt(|stream| {
            stream.element(Kind::String, name)?;
            stream.chunk()?.strip_suffix(b"\0")
        })
    }

    /// Takes the ends of an array and of the structure around it.
    pub(crate) fn ends(&mut self) -> Option<()> {
        self.element(Kind::ArrayEnd, None)?;
        self.element(Kind::StructEnd, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_element_is_taken_by_name_and_kind() {
        let mut stream = Stream::new(b"\x04\x02\0a\0\x02\x07\0\0\0");
        assert_eq!(stream.u32(Some("b")), None);
        assert_eq!(stream.string(Some("a")), None);
        assert_eq!(stream.at(), 0);
        assert_eq!(stream.u32(Some("a")), Some(7));
        assert!(stream.is_at_end());
    }

    #[test]
    fn a_name_that_nobody_asked_for_is_passed_over() {
        assert_eq!(Stream::new(b"\x04\x02\0a\0\x02\x07\0\0\0").u32(None), Some(7));
        assert_eq!(Stream::new(b"\x02\x07\0\0\0").u32(Some("a")), None);
    }

    #[test]
    fn what_is_cut_off_is_not_taken() {
        let whole = b"\x04\x02\0a\0\x06\x03\0\0\0xyz";
        for len in 0..whole.len() {
            let mut stream = Stream::new(&whole[..len]);
            assert_eq!(stream.blob(Some("a")), None, "{len} bytes");
            assert_eq!(stream.at(), 0);
        }
        assert_eq!(Stream::new(whole).blob(Some("a")), Some(&b"xyz"[..]));
    }

    #[test]
    fn a_string_ends_with_a_zero() {
        assert_eq!(Stream::new(b"\x05\x02\0a\0").string(None), Some(&b"a"[..]));
        assert_eq!(Stream::new(b"\x05\x01\0\0").string(None), Some(&b""[..]));
        assert_eq!(Stream::new(b"\x05\x01\0a").string(None), None);
        assert_eq!(Stream::new(b"\x05\0\0").string(None), None);
    }
}
