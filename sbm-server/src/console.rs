// SPDX-License-Identifier: MIT OR Apache-2.0
//! What reaches the console of what is written: clean text, and whose line it is.
//!
//! Every line of a client begins with its name, [`MARK`] after it; the root task's own lines do not. A line has one
//! writer: whoever writes while another one's line is not ended begins a new one. So no client can write a line that
//! looks like another one's or the root task's.
//!
//! Text is UTF-8. Control characters other than newline and tab, U+0080 to U+009F among them, and bytes that are no UTF-8
//! become question marks: a terminal would take them for commands. A character may come in two texts of one writer;
//! up to three bytes of each writer wait for the rest. What a client has begun ends with it ([`Console::forget`]): its
//! number may be another one's next.

use core::str;

use sbm_abi::limits::MAX_CLIENTS;
use sbm_text::is_command;

use crate::ClientId;

/// Stands between a client's name and its text.
pub const MARK: &str = "| ";

/// Stands for what does not reach the console.
const REPLACED: &[u8] = b"?";

/// Most bytes of a character.
const CHARACTER: usize = 4;

/// Who writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writer<'a> {
    /// The root task.
    RootTask,
    /// A client. Its number stands for the same client until [`Console::forget`].
    Client(ClientId, &'a str),
}

/// A writer without its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    RootTask,
    Client(ClientId),
}

impl Writer<'_> {
    const fn owner(self) -> Owner {
        match self {
            Self::RootTask => Owner::RootTask,
            Self::Client(client, _) => Owner::Client(client),
        }
    }

    const fn index(self) -> usize {
        match self {
            Self::RootTask => MAX_CLIENTS,
            Self::Client(client, _) => client.get(),
        }
    }
}

/// The beginning of a character whose other bytes are still to come.
#[derive(Debug, Clone, Copy)]
struct Begun {
    bytes: [u8; CHARACTER],
    length: usize,
}

impl Begun {
    const NOTHING: Self = Self { bytes: [0; CHARACTER], length: 0 };

    /// Takes the beginning of a character, which is shorter than one.
    fn of(bytes: &[u8]) -> Self {
        let mut begun = Self::NOTHING;
        for byte in bytes {
            begun = begun.with(*byte);
        }
        begun
    }

    /// Returns the same with a byte more.
    fn with(mut self, byte: u8) -> Self {
        if let Some(place) = self.bytes.get_mut(self.length) {
            *place = byte;
            self.length += 1;
        }
        self
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

/// The console's state: whose line is not ended, and what has begun.
#[derive(Debug)]
pub struct Console {
    line: Option<Owner>,
    begun: [Begun; MAX_CLIENTS + 1],
}

impl Console {
    /// Makes the state of a console that nothing was written to.
    #[must_use]
    pub const fn new() -> Self {
        Self { line: None, begun: [Begun::NOTHING; MAX_CLIENTS + 1] }
    }

    /// Writes bytes, whatever they are: `put` gets what reaches the console, in as few pieces as it has.
    pub fn write(&mut self, writer: Writer<'_>, bytes: &[u8], mut put: impl FnMut(&[u8])) {
        let mut rest = self.complete(writer, bytes, &mut put);
        for chunk in rest.utf8_chunks() {
            self.text(writer, chunk.valid(), &mut put);
            rest = rest.get(chunk.valid().len() + chunk.invalid().len()..).unwrap_or_default();
            if rest.is_empty() && is_beginning(chunk.invalid()) {
                self.set_begun(writer, Begun::of(chunk.invalid()));
            } else if !chunk.invalid().is_empty() {
                self.piece(writer, REPLACED, &mut put);
            }
        }
    }

    /// Ends what a client has begun that is gone: its line, and the character whose rest does not come any more.
    pub fn forget(&mut self, client: ClientId, mut put: impl FnMut(&[u8])) {
        if let Some(begun) = self.begun.get_mut(client.get()) {
            *begun = Begun::NOTHING;
        }
        if self.line == Some(Owner::Client(client)) {
            put(b"\n");
            self.line = None;
        }
    }

    /// Completes the character that the writer has begun, as far as there are bytes, and returns the others.
    fn complete<'a>(&mut self, writer: Writer<'_>, bytes: &'a [u8], put: &mut impl FnMut(&[u8])) -> &'a [u8] {
        let mut begun = self.begun.get(writer.index()).copied().unwrap_or(Begun::NOTHING);
        let mut rest = bytes;
        while begun.length > 0
            && let [first, others @ ..] = rest
        {
            let longer = begun.with(*first);
            if let Ok(text) = str::from_utf8(longer.bytes()) {
                self.text(writer, text, put);
                (begun, rest) = (Begun::NOTHING, others);
            } else if is_beginning(longer.bytes()) {
                (begun, rest) = (longer, others);
            } else {
                // The byte does not belong to it, and begins something of its own.
                self.piece(writer, REPLACED, put);
                begun = Begun::NOTHING;
            }
        }
        self.set_begun(writer, begun);
        rest
    }

    fn set_begun(&mut self, writer: Writer<'_>, begun: Begun) {
        if let Some(place) = self.begun.get_mut(writer.index()) {
            *place = begun;
        }
    }

    /// Writes text, with a replacement for each control character.
    fn text(&mut self, writer: Writer<'_>, text: &str, put: &mut impl FnMut(&[u8])) {
        let is_command = |character: char| is_command(character) && !matches!(character, '\n' | '\t');
        for (number, run) in text.split(is_command).enumerate() {
            if number > 0 {
                self.piece(writer, REPLACED, put);
            }
            for line in run.split_inclusive('\n') {
                self.piece(writer, line.as_bytes(), put);
            }
        }
    }

    /// Writes a piece of one line, with what has to come before it.
    fn piece(&mut self, writer: Writer<'_>, piece: &[u8], put: &mut impl FnMut(&[u8])) {
        if self.line != Some(writer.owner()) {
            if self.line.is_some() {
                put(b"\n");
            }
            if let Writer::Client(_, name) = writer {
                put(name.as_bytes());
                put(MARK.as_bytes());
            }
        }
        put(piece);
        self.line = if piece.ends_with(b"\n") { None } else { Some(writer.owner()) };
    }
}

impl Default for Console {
    fn default() -> Self {
        Self::new()
    }
}

/// Tells whether bytes are a character without its end.
fn is_beginning(bytes: &[u8]) -> bool {
    matches!(str::from_utf8(bytes), Err(error) if error.valid_up_to() == 0 && error.error_len().is_none())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    extern crate std;

    use proptest::prelude::*;
    use std::{string::String, vec::Vec};

    use super::*;

    const NAMES: [&str; 3] = ["a", "bee", "root-task"];

    fn client(number: usize) -> Writer<'static> {
        Writer::Client(ClientId::new(number as u64).unwrap(), NAMES[number])
    }

    /// Returns what reaches the console of all this.
    fn written(texts: &[(Writer<'_>, &[u8])]) -> String {
        let mut console = Console::new();
        let mut all = Vec::new();
        for (writer, bytes) in texts {
            console.write(*writer, bytes, |piece| all.extend_from_slice(piece));
        }
        String::from_utf8(all).unwrap()
    }

    #[test]
    fn each_line_of_a_client_begins_with_its_name() {
        assert_eq!(written(&[(client(0), b"one\ntwo\n\nthree")]), "a| one\na| two\na| \na| three");
    }

    #[test]
    fn a_line_in_pieces_has_one_name() {
        assert_eq!(
            written(&[(client(0), b"one "), (client(0), b"two\n"), (client(0), b"three")]),
            "a| one two\na| three"
        );
    }

    #[test]
    fn the_root_tasks_lines_have_no_name() {
        assert_eq!(written(&[(Writer::RootTask, b"one\ntwo\n")]), "one\ntwo\n");
    }

    #[test]
    fn another_writer_begins_a_new_line() {
        let texts: &[(_, &[u8])] =
            &[(client(0), b"one"), (Writer::RootTask, b"two"), (client(1), b"three"), (client(0), b"four\n")];
        assert_eq!(written(texts), "a| one\ntwo\nbee| three\na| four\n");
    }

    #[test]
    fn nothing_begins_no_line() {
        assert_eq!(written(&[(client(0), b"one"), (client(1), b""), (client(0), b" two")]), "a| one two");
    }

    #[test]
    fn text_passes_in_one_piece() {
        let mut pieces = 0;
        Console::new().write(Writer::RootTask, "a\tline with \u{e9} and \u{2192}\n".as_bytes(), |_| pieces += 1);
        assert_eq!(pieces, 1);
    }

    #[test]
    fn every_control_character_but_newline_and_tab_is_replaced() {
        let all = ('\0'..'\u{a0}').chain([
            '\u{202e}',
            '\u{2028}',
            '\u{200b}',
            '\u{2066}',
            '\u{feff}',
            '\u{61c}',
            '\u{ad}',
            '\u{180e}',
            '\u{fffa}',
            '\u{e0041}',
        ]);
        for character in all.filter(|character| is_command(*character) && !"\n\t".contains(*character)) {
            let text = std::format!("x{character}y");
            assert_eq!(written(&[(Writer::RootTask, text.as_bytes())]), "x?y", "{character:?}");
        }
        assert_eq!(written(&[(Writer::RootTask, "\tx\u{a0}y\n".as_bytes())]), "\tx\u{a0}y\n");
    }

    #[test]
    fn a_carriage_return_does_not_lead_back_to_the_name() {
        assert_eq!(written(&[(client(0), b"one\rroot-task: two\n")]), "a| one?root-task: two\n");
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced() {
        assert_eq!(written(&[(Writer::RootTask, b"x\x9by\xffz\xc3(\xe2\x82w\xc0\x9b")]), "x?y?z?(?w??");
    }

    #[test]
    fn a_character_in_two_texts_arrives() {
        for character in ["\u{e9}", "\u{2192}", "\u{1f512}"] {
            let bytes = character.as_bytes();
            for cut in 1..bytes.len() {
                assert_eq!(
                    written(&[(client(0), &bytes[..cut]), (client(0), &bytes[cut..])]),
                    std::format!("a| {character}")
                );
            }
        }
    }

    #[test]
    fn a_control_character_in_two_texts_is_replaced() {
        assert_eq!(written(&[(client(0), b"x\xc2"), (client(0), b"\x9b2J")]), "a| x?2J");
    }

    #[test]
    fn a_character_is_not_completed_by_another_writer() {
        let texts: &[(_, &[u8])] = &[(client(0), b"x\xc3"), (client(1), b"\xa9y"), (client(0), b"\xa9z")];
        assert_eq!(written(texts), "a| x\nbee| ?y\na| \u{e9}z");
    }

    #[test]
    fn what_does_not_complete_a_character_begins_its_own() {
        assert_eq!(written(&[(client(0), b"\xe2\x82"), (client(0), b"\xc3"), (client(0), b"\xa9\n")]), "a| ?\u{e9}\n");
        assert_eq!(written(&[(client(0), b"\xf0"), (client(0), b"\x80\n")]), "a| ??\n");
    }

    #[test]
    fn a_client_that_ended_leaves_nothing_begun_to_the_next_one_with_its_number() {
        let id = ClientId::new(0).unwrap();
        for (forgotten, expected) in [(0, "a| x\nb| ?y"), (1, "a| x\u{e9}y")] {
            let (mut console, mut all) = (Console::new(), Vec::new());
            let mut put = |piece: &[u8]| all.extend_from_slice(piece);
            console.write(Writer::Client(id, "a"), b"x\xc3", &mut put);
            console.forget(ClientId::new(forgotten).unwrap(), &mut put);
            console.write(Writer::Client(id, "b"), b"\xa9y", &mut put);
            assert_eq!(String::from_utf8(all).unwrap(), expected);
        }
    }

    #[test]
    fn the_end_of_a_client_ends_its_own_line_and_no_other() {
        for (writer, bytes, expected) in [
            (client(0), &b"x"[..], "a| x\ntwo\n"),
            (client(0), b"x\n", "a| x\ntwo\n"),
            (Writer::RootTask, b"one ", "one two\n"),
        ] {
            let (mut console, mut all) = (Console::new(), Vec::new());
            let mut put = |piece: &[u8]| all.extend_from_slice(piece);
            console.write(writer, bytes, &mut put);
            console.forget(ClientId::new(0).unwrap(), &mut put);
            console.write(Writer::RootTask, b"two\n", &mut put);
            assert_eq!(String::from_utf8(all).unwrap(), expected);
        }
    }

    proptest! {
        /// Whatever is written in whatever pieces: clean text, and the lines of each client begin with its name.
        #[test]
        fn every_line_is_clean_and_its_writers(
            texts in proptest::collection::vec((0usize..4, proptest::collection::vec(any::<u8>(), 0..12)), 0..30),
        ) {
            let texts: Vec<_> = texts.iter().map(|(number, bytes)| {
                let writer = if *number == 3 { Writer::RootTask } else { client(*number) };
                (writer, bytes.as_slice())
            }).collect();
            let mut console = Console::new();
            let mut lines: Vec<(Option<Owner>, Vec<u8>)> = std::vec![(None, Vec::new())];
            for (writer, bytes) in texts {
                console.write(writer, bytes, |piece| {
                    for byte in piece {
                        if *byte == b'\n' {
                            lines.push((None, Vec::new()));
                        } else {
                            let line = lines.last_mut().unwrap();
                            // A line belongs to whoever wrote its first byte.
                            assert_eq!(*line.0.get_or_insert(writer.owner()), writer.owner());
                            line.1.push(*byte);
                        }
                    }
                });
            }
            for (owner, line) in lines {
                let line = String::from_utf8(line).unwrap();
                prop_assert!(!line.chars().any(|character| is_command(character) && character != '\t'));
                if let Some(Owner::Client(client)) = owner {
                    let start = std::format!("{}{MARK}", NAMES[client.get()]);
                    prop_assert!(line.starts_with(&start), "{line}");
                }
            }
        }
    }
}
