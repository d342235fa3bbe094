// SPDX-License-Identifier: MIT OR Apache-2.0
//! The description of a system: which clients an image has, with what.
//!
//! The host tool makes a [`System`] of a file or of its command line, and hands its `postcard` form to the root task,
//! which decodes it with the bounds of these types and believes nothing: both sides call [`System::check`], and what it
//! refuses is [`Wrong`], which names client and key, so that the host can add the line.
//!
//! What a client may have is in its [`Terms`], which the server keeps. How promises are shared out is [`divide()`].
#![no_std]
#![forbid(unsafe_code)]

mod check;
mod divide;
mod wrong;

use heapless::Vec;
use sbm_abi::{
    MAX_ARGUMENTS, MAX_INPUTS,
    limits::{DEFAULT_BUDGET_MS, MAX_BUDGET_MS, MAX_CLIENTS},
};
use serde::{Deserialize, Serialize};

pub use check::{MAX_NAME, MAX_SHARE, MAX_TEXT, MOST_SLOTS, PRIORITIES, is_name};
pub use divide::{Amounts, Promise, divide};
pub use wrong::{Key, Part, Why, Wrong};

/// What runs where nobody says what.
pub const DEFAULT_PROGRAM: &str = "pgp-keys";

/// Most bytes of a description's `postcard` form.
pub const MAX_BYTES: usize = 8192;

/// A priority for clients about which nothing else is said.
pub const DEFAULT_PRIORITY: u8 = 100;

/// The kernel's priority of what is done while no client runs.
pub const IDLE_PRIORITY: u8 = 1;

/// The clients of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct System<'a> {
    /// Names of the input files, in the order in which the host hands them over.
    #[serde(borrow)]
    pub inputs: Vec<&'a str, MAX_INPUTS>,
    /// The clients. Others name one by its place here.
    #[serde(borrow)]
    pub clients: Vec<Client<'a>, MAX_CLIENTS>,
}

/// One client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client<'a> {
    /// What it is called: on the console, and by other clients.
    pub name: &'a str,
    /// The program that it runs.
    pub program: &'a str,
    /// Arguments of the program.
    #[serde(borrow)]
    pub arguments: Vec<&'a str, MAX_ARGUMENTS>,
    /// Its input files: a bit for each of the system's.
    pub inputs: u64,
    /// Priority of its thread and of its sandboxes', one of [`PRIORITIES`].
    pub priority: u8,
    /// What it may.
    pub terms: Terms,
}

/// What a client may have and do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// Weight of its share of the CPU among clients of its priority, 1 to [`MAX_SHARE`].
    pub share: u16,
    /// Most that it may have.
    pub quota: Quota,
    /// What is kept for it, whatever others take.
    pub reserve: Reserve,
    /// Time budgets of its calls.
    pub budget: Budget,
    /// Clients whose running calls it may end.
    pub cancels: ClientSet,
    /// Clients that it may end.
    pub kills: ClientSet,
    /// What happens when it ends.
    pub on_end: OnEnd,
}

/// Most that a client may have. Nothing is said of what is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Quota {
    /// Sandboxes, spares included.
    pub sandboxes: Option<u32>,
    /// Bytes of memory.
    pub bytes: Option<u64>,
    /// Capability slots.
    pub slots: Option<u32>,
    /// Ranges of its own pages that are mapped into its sandboxes.
    pub mappings: Option<u32>,
    /// Bytes of text for the console, a second.
    pub console: Option<u32>,
}

/// What is kept for a client. Nothing is said of what is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Reserve {
    /// Sandboxes.
    pub sandboxes: Option<u32>,
    /// Bytes of memory.
    pub bytes: Option<u64>,
    /// Capability slots.
    pub slots: Option<u32>,
}

/// The kernel's priorities of a client's threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Priorities {
    /// While another client of its priority is first, and of threads that nobody put forward.
    pub usual: u8,
    /// While it is first among the clients of its priority.
    pub first: u8,
}

/// Time budgets of a client's calls, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// Of a call for which its program names none.
    pub default_ms: u32,
    /// The longest that its program can name, and then every call has one; without, up to an hour, or none at all.
    pub longest_ms: Option<u32>,
}

/// Clients of a system, by their places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ClientSet(pub u8);

/// What happens when a client has ended, faulted, or was ended by another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum OnEnd {
    /// Nothing: it stays away.
    #[default]
    Stop,
    /// It is started again at once, so many times at most; then it stays away.
    Restart(u32),
    /// All others are ended, and the run: as well or badly as this one.
    EndRun,
}

/// The description does not fit [`MAX_BYTES`], or the room that it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLong;

/// The bytes are no description.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

impl<'a> System<'a> {
    /// Describes what runs where nobody says what.
    #[must_use]
    pub fn standard() -> Self {
        let mut clients = Vec::new();
        // The first of several fits.
        let _ = clients.push(Client::new(DEFAULT_PROGRAM));
        Self { inputs: Vec::new(), clients }
    }

    /// Decodes a description; nothing may follow it. Whether it adds up, [`System::check`] says.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Malformed> {
        match postcard::take_from_bytes(bytes) {
            Ok((system, [])) => Ok(system),
            _ => Err(Malformed),
        }
    }

    /// Returns the kernel's priorities for the client at a place: two for each priority that any client has, in their
    /// order, above [`IDLE_PRIORITY`].
    #[must_use]
    pub fn priorities(&self, place: usize) -> Priorities {
        let own = self.clients.get(place).map_or(0, |client| client.priority);
        let is_used = |priority: &u8| self.clients.iter().any(|client| client.priority == *priority);
        let below = (0..own).filter(is_used).take(MAX_CLIENTS);
        let usual = below.fold(IDLE_PRIORITY + 1, |usual, _| usual + 2);
        Priorities { usual, first: usual + 1 }
    }

    /// Codes the description and returns its bytes.
    ///
    /// # Errors
    /// [`TooLong`].
    pub fn encode<'b>(&self, bytes: &'b mut [u8]) -> Result<&'b [u8], TooLong> {
        let length = bytes.len().min(MAX_BYTES);
        postcard::to_slice(self, &mut bytes[..length]).map(|bytes| &*bytes).map_err(|_| TooLong)
    }
}

impl<'a> Client<'a> {
    /// Describes a client of which nothing is said but its program, and which is called as that.
    #[must_use]
    pub const fn new(program: &'a str) -> Self {
        Self {
            name: program,
            program,
            arguments: Vec::new(),
            inputs: 0,
            priority: DEFAULT_PRIORITY,
            terms: Terms::DEFAULT,
        }
    }

    /// Tells whether it has the system's input file of that number.
    #[must_use]
    pub const fn has_input(&self, number: usize) -> bool {
        number < MAX_INPUTS && self.inputs & (1 << number) != 0
    }
}

impl Terms {
    /// What a client may of which nothing is said.
    pub const DEFAULT: Self = Self {
        share: 1,
        quota: Quota { sandboxes: None, bytes: None, slots: None, mappings: None, console: None },
        reserve: Reserve { sandboxes: None, bytes: None, slots: None },
        budget: Budget::DEFAULT,
        cancels: ClientSet(0),
        kills: ClientSet(0),
        on_end: OnEnd::Stop,
    };
}

impl Budget {
    #[expect(clippy::cast_possible_truncation, reason = "seconds")]
    const DEFAULT: Self = Self { default_ms: DEFAULT_BUDGET_MS as u32, longest_ms: None };

    /// Returns the longest budget that can be, in milliseconds.
    #[must_use]
    pub fn limit_ms(self) -> u64 {
        self.longest_ms.map_or(MAX_BUDGET_MS, u64::from)
    }
}

impl ClientSet {
    /// Adds the client at a place.
    pub const fn insert(&mut self, place: usize) {
        if place < MAX_CLIENTS {
            self.0 |= 1 << place;
        }
    }

    /// Tells whether the client at a place is among them.
    #[must_use]
    pub const fn has(self, place: usize) -> bool {
        place < MAX_CLIENTS && self.0 & (1 << place) != 0
    }
}

const _: () = assert!(MAX_CLIENTS <= 8 && MAX_INPUTS <= 64, "a bit each");

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_description_comes_back_as_it_was() {
        let mut system = System::standard();
        system.inputs.push("a file").unwrap();
        let client = &mut system.clients[0];
        client.arguments.extend(["--json", ""]);
        client.terms.cancels.insert(7);
        client.terms.on_end = OnEnd::Restart(3);
        client.terms.quota.bytes = Some(1 << 40);
        let mut bytes = [0; MAX_BYTES];
        let coded = system.encode(&mut bytes).unwrap();
        assert_eq!(System::decode(coded), Ok(system));
    }

    #[test]
    fn what_is_cut_off_or_has_something_behind_it_is_none() {
        let mut bytes = [0; MAX_BYTES];
        let length = System::standard().encode(&mut bytes).unwrap().len();
        assert_eq!(System::decode(&bytes[..length - 1]), Err(Malformed));
        assert_eq!(System::decode(&bytes[..=length]), Err(Malformed));
        assert_eq!(System::standard().encode(&mut bytes[..length - 1]), Err(TooLong));
    }

    #[test]
    fn each_priority_has_two_of_the_kernels_in_the_same_order() {
        let mut system = System::standard();
        for priority in [*PRIORITIES.start(), *PRIORITIES.end(), DEFAULT_PRIORITY, 99, 101, 2, 3] {
            system.clients.push(Client { priority, ..Client::new("x") }).unwrap();
        }
        let priorities = |place| system.priorities(place);
        assert_eq!(priorities(1), Priorities { usual: 2, first: 3 });
        assert_eq!(priorities(0), priorities(3));
        for one in 0..8 {
            assert!(priorities(one).usual > IDLE_PRIORITY && priorities(one).first == priorities(one).usual + 1);
            for other in (0..8).filter(|other| system.clients[*other].priority > system.clients[one].priority) {
                assert!(priorities(other).usual > priorities(one).first);
            }
        }
        assert_eq!(priorities(2), Priorities { usual: 14, first: 15 });
    }

    #[test]
    fn sets_have_places_and_no_others() {
        let mut set = ClientSet::default();
        set.insert(MAX_CLIENTS);
        assert_eq!(set, ClientSet(0));
        set.insert(2);
        assert!(set.has(2) && !set.has(1) && !set.has(MAX_CLIENTS) && !set.has(MAX_CLIENTS + 2));
        let client = Client { inputs: 1 << 63, ..Client::new("x") };
        assert!(client.has_input(63) && !client.has_input(0) && !client.has_input(64));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_description_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(system) = System::decode(&bytes) {
                let _ = system.check(|_| true);
            }
        }
    }
}
