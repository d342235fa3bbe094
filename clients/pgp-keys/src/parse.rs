// SPDX-License-Identifier: MIT OR Apache-2.0
//! The call into the sandbox, and what is made of its answer.
//!
//! [`parse_keys`] is what runs inside. Everything that it says is a claim: the client takes a length of at most what it
//! has room for, an error that there is, and records that [`Records`] finds sound one by one.

use core::{fmt, time::Duration};

use sbm::{Error, OutputBuffer, Sbm, Tainted, Unfit, copy_in, copy_out, shared_out};
use sbm_abi::limits;
use sbm_pgp::{
    Corrupt, Options, ParseError, PlantedBug, Records, parse_keyring, records::capacity_bound, scratch_bound,
};

use crate::keyring::Keyring;

/// Bytes of the sandbox's stack: four times of what the parser needs where it goes deepest, in the hashes.
const STACK: usize = 8 * 1024;

/// Time for a keyring. The largest that fits takes less than a second in an emulated machine.
const BUDGET: Duration = Duration::from_secs(10);

/// Time for a parser that is going to loop.
const SHORT_BUDGET: Duration = Duration::from_millis(100);

/// Bytes of a page: no buffer is smaller.
const PAGE: usize = limits::PAGE as usize;

/// Most bytes of a buffer. What is larger is not copied but mapped.
const BUFFER: usize = limits::MAX_BUFFER_PAGES as usize * PAGE;

/// Most calls for one keyring: the second one has the room that the first one asked for.
const ATTEMPTS: usize = 3;

/// What the sandboxed function returns: the bytes used by records, or a [`ParseError`] as one word.
type Answer = Result<u32, u64>;

/// Parses a keyring: runs in the sandbox.
///
/// Decodes armored blocks into `scratch` and writes what it finds to `records`.
fn parse_keys(keyring: &[u8], scratch: &mut [u8], records: &mut [u8]) -> Answer {
    parse_keyring(keyring, scratch, records, Options::default()).map_err(ParseError::to_raw)
}

/// Parses a keyring with a bug that was planted on purpose, and reads past its input: runs in the sandbox.
fn parse_keys_and_overrun(keyring: &[u8], scratch: &mut [u8], records: &mut [u8]) -> Answer {
    let options = Options::default().with_planted_bug(PlantedBug::Overrun);
    parse_keyring(keyring, scratch, records, options).map_err(ParseError::to_raw)
}

/// Parses a keyring with a bug that was planted on purpose, and does not end: runs in the sandbox.
fn parse_keys_and_loop(keyring: &[u8], scratch: &mut [u8], records: &mut [u8]) -> Answer {
    let options = Options::default().with_planted_bug(PlantedBug::Loop);
    parse_keyring(keyring, scratch, records, options).map_err(ParseError::to_raw)
}

/// Why a keyring is not listed.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// It is no keyring, or none that can be listed here.
    Keyring(ParseError),
    /// The sandbox could not be set up, or its function did not run to its end.
    Sandbox(Error),
    /// The file does not fit into a sandbox.
    TooLarge {
        /// Its bytes.
        bytes: usize,
    },
    /// The sandbox returned what its function cannot return.
    Answer,
    /// The sandbox wrote records that are none.
    Records(Corrupt),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Sandbox(error)
    }
}

impl From<Corrupt> for Refusal {
    fn from(corrupt: Corrupt) -> Self {
        Self::Records(corrupt)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keyring(error) => write!(f, "not listed: {error}"),
            Self::Sandbox(error) => write!(f, "not listed, its parser did not finish: {error}"),
            Self::TooLarge { bytes } => write!(f, "not listed: {bytes} bytes are more than a sandbox can be given"),
            Self::Answer => f.write_str("not listed, the sandbox returned what no parser returns"),
            Self::Records(corrupt) => write!(f, "not listed, the sandbox returned bad records: {corrupt}"),
        }
    }
}

/// Bytes in the buffers of a sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Room {
    /// For armored blocks, decoded.
    scratch: usize,
    /// For records.
    records: usize,
}

impl Room {
    /// Returns what is enough for most keyrings of `bytes` bytes: binary ones, mostly signatures.
    fn guess(bytes: usize, limit: usize) -> Self {
        Self { scratch: PAGE, records: (bytes / 8).max(PAGE).min(capacity_bound(bytes)).min(limit) }
    }

    /// Returns more room if `error` asks for it, as long as that is reasonable for a keyring of `bytes` bytes.
    fn more(self, error: ParseError, bytes: usize, limit: usize) -> Option<Self> {
        match error {
            ParseError::OutputFull { needed } => {
                let needed = needed as usize;
                (needed > self.records && needed <= limit.min(capacity_bound(bytes)))
                    .then_some(Self { records: needed, ..self })
            }
            ParseError::ScratchFull { .. } => {
                // Enough for every block of the file, so that it is asked for once.
                let enough = scratch_bound(bytes);
                (enough > self.scratch).then_some(Self { scratch: enough, ..self })
            }
            ParseError::Refused { .. } | ParseError::InputTooLarge => None,
        }
    }
}

/// A sandbox with buffers for one keyring.
pub(crate) struct Parser {
    sbm: Sbm,
    scratch: OutputBuffer,
    room: Room,
}

impl Parser {
    /// Sets up a sandbox that has enough room for most keyrings of `bytes` bytes.
    pub(crate) fn new(bytes: usize, limit: usize) -> Result<Self, Error> {
        Self::with_room(bytes, Room::guess(bytes, limit))
    }

    fn with_room(bytes: usize, room: Room) -> Result<Self, Error> {
        let mut builder = Sbm::builder().budget(BUDGET).stack(STACK).room_out(3, room.records);
        if bytes <= BUFFER {
            builder = builder.room_in(1, bytes);
        }
        let scratch = builder.output(room.scratch);
        Ok(Self { sbm: builder.build()?, scratch, room })
    }

    /// Parses a keyring into `records`.
    fn call(&mut self, keyring: &Keyring, records: &mut [u8]) -> Result<Tainted<Answer>, Refusal> {
        let (scratch, records) = (shared_out(self.scratch), &mut records[..self.room.records]);
        if keyring.bytes.len() <= BUFFER {
            // At the end of their pages, so that reading or writing one byte too many is a fault.
            let (input, records) = (copy_in(keyring.bytes).at_end(), copy_out(records).at_end());
            return Ok(self.sbm.call(parse_keys, (input, scratch, records))?);
        }
        let too_large = Refusal::TooLarge { bytes: keyring.bytes.len() };
        let Some(input) = keyring.mapped() else { return Err(too_large) };
        match self.sbm.call(parse_keys, (input, scratch, copy_out(records).at_end())) {
            Err(Error::Argument { why: Unfit::Mapping { .. }, .. }) => Err(too_large),
            answer => Ok(answer?),
        }
    }

    /// Parses a keyring with a planted bug; whatever it finds is dropped.
    pub(crate) fn call_planted_bug(
        &mut self,
        bug: PlantedBug,
        keyring: &Keyring,
        records: &mut [u8],
    ) -> Result<(), Error> {
        let records = copy_out(&mut records[..self.room.records]).at_end();
        let arguments = (copy_in(keyring.bytes).at_end(), shared_out(self.scratch), records);
        let answer = match bug {
            PlantedBug::Overrun => self.sbm.call(parse_keys_and_overrun, arguments),
            PlantedBug::Loop => self.sbm.call_within(SHORT_BUDGET, parse_keys_and_loop, arguments),
        };
        answer.map(|_: Tainted<Answer>| ())
    }

    /// Parses a keyring and returns its records, all of which are sound.
    pub(crate) fn parse<'r>(&mut self, keyring: &Keyring, records: &'r mut [u8]) -> Result<Records<'r>, Refusal> {
        match self.attempt(keyring, records)? {
            Ok(used) => sound(&records[..used]),
            Err(error) => Err(Refusal::Keyring(error)),
        }
    }

    /// Puts the sandbox back to its first state.
    pub(crate) fn reset(&mut self) -> Result<(), Error> {
        self.sbm.reset()
    }

    /// Runs the parser once and checks what it returned: bytes used, or its error.
    fn attempt(&mut self, keyring: &Keyring, records: &mut [u8]) -> Result<Result<usize, ParseError>, Refusal> {
        let limit = self.room.records;
        match self.call(keyring, records)?.transpose() {
            Ok(used) => {
                let used = used.parse(|used| usize::try_from(*used).ok().filter(|used| *used <= limit));
                used.map(Ok).map_err(|_| Refusal::Answer)
            }
            Err(error) => error.parse(|raw| ParseError::from_raw(*raw)).map(Err).map_err(|_| Refusal::Answer),
        }
    }
}

/// Parses a keyring in a sandbox of its own, with more room if the first one has too little.
pub(crate) fn parse<'r>(keyring: &Keyring, records: &'r mut [u8]) -> Result<Records<'r>, Refusal> {
    let bytes = keyring.bytes.len();
    let mut room = Room::guess(bytes, records.len());
    let mut attempts = 1;
    let used = loop {
        let mut parser = Parser::with_room(bytes, room)?;
        match parser.attempt(keyring, records)? {
            Ok(used) => break used,
            Err(error) => match room.more(error, bytes, records.len()) {
                Some(more) if attempts < ATTEMPTS => room = more,
                Some(_) | None => return Err(Refusal::Keyring(error)),
            },
        }
        attempts += 1;
    };
    sound(&records[..used])
}

/// Returns the records in `bytes` if all are sound.
fn sound(bytes: &[u8]) -> Result<Records<'_>, Refusal> {
    let records = Records::new(bytes)?;
    if let Err(error) = records.status() {
        return Err(Refusal::Keyring(error));
    }
    for entry in records {
        entry?;
    }
    Ok(records)
}
