// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a client finds at its start: name, arguments, input files.
#![expect(unsafe_code, reason = "what the root task left in memory")]

use core::{cell::OnceCell, time::Duration};

use sbm_abi::{
    ClientMap, StartInfo,
    limits::{CLIENT_START_INFO, PAGE},
};

/// What a client was started with.
#[derive(Debug)]
pub struct Env(StartInfo<'static>);

/// An input file, mapped read-only from a page boundary, zeros up to the end of its last page.
// Nobody else makes one: the pages of `bytes` have to be the file's alone.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct InputFile {
    /// Name, as the host gave it.
    pub name: &'static str,
    /// Contents.
    pub bytes: &'static [u8],
}

impl Env {
    /// Returns what the client is called: as its program, where the system's description says nothing else.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.0.name
    }

    /// Returns the program's name.
    #[must_use]
    pub const fn program(&self) -> &'static str {
        self.0.program
    }

    /// Returns the arguments.
    #[must_use]
    pub fn arguments(&self) -> &[&'static str] {
        &self.0.arguments
    }

    /// Returns the input files.
    pub fn inputs(&self) -> impl ExactSizeIterator<Item = InputFile> + '_ {
        self.0.inputs.iter().map(|input| {
            // SAFETY: the server maps each input file, read-only, for the client's whole life.
            let bytes = unsafe { core::slice::from_raw_parts(input.address as *const u8, input.length as usize) };
            InputFile { name: input.name, bytes }
        })
    }

    /// Returns what the time-stamp counter showed when the root task started.
    #[must_use]
    pub const fn boot_ticks(&self) -> u64 {
        self.0.boot_ticks
    }

    pub(crate) const fn ticks_per_second(&self) -> u64 {
        self.0.ticks_per_second
    }

    /// Returns how far the time-stamp counter goes in the budget of a call for which the program names none.
    pub(crate) const fn default_budget_ticks(&self) -> u64 {
        self.0.default_budget_ticks
    }

    /// Returns the longest that a call may take, where each has to have a budget.
    pub(crate) fn longest_budget(&self) -> Option<Duration> {
        self.0.longest_budget_ms.map(|most| Duration::from_millis(most.into()))
    }

    pub(crate) const fn map(&self) -> ClientMap {
        self.0.map
    }
}

struct Global(OnceCell<Env>);

// SAFETY: a client has one thread; sandboxes do not have this page.
unsafe impl Sync for Global {}

static ENV: Global = Global(OnceCell::new());

const NO_MAP: ClientMap = ClientMap { code_end: 0, data: 0, data_end: 0 };

pub(crate) fn env() -> &'static Env {
    ENV.0.get_or_init(|| {
        // SAFETY: the root task maps the page, read-only, for the client's whole life.
        let page = unsafe { core::slice::from_raw_parts(CLIENT_START_INFO as usize as *const u8, PAGE as usize) };
        let nothing = StartInfo {
            name: "?",
            program: "?",
            map: NO_MAP,
            boot_ticks: 0,
            ticks_per_second: 0,
            default_budget_ticks: 0,
            longest_budget_ms: None,
            arguments: heapless::Vec::new(),
            inputs: heapless::Vec::new(),
        };
        Env(StartInfo::decode(page).unwrap_or(nothing))
    })
}
