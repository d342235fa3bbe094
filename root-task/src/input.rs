// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the host hands over through fw_cfg: which programs to run, their arguments, and input files.

use core::{fmt::Write, ptr::NonNull};

use heapless::{String, Vec};
use pc::{DmaBuffer, FwCfg};
use sbm_abi::{Input, MAX_ARGUMENTS, MAX_INPUTS, Pages, limits::PAGE};
use sbm_server::place_input;
use sel4::{Error, cap, cap_type::SmallPage};

use crate::{failing::Failing, machine::Machine, object::Row};

/// Bytes that one transfer brings.
const DMA_PAGES: u32 = 16;
/// Bytes of all names and arguments.
const TEXT_BYTES: usize = 4096;

/// An input file, in frames of its own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InputFile {
    name: &'static str,
    length: u32,
    pub(crate) pages: Pages,
    pub(crate) frames: Row,
}

impl InputFile {
    pub(crate) const fn describe(&self) -> Input<'static> {
        Input { name: self.name, address: self.pages.address, length: self.length }
    }
}

/// What the host asks for.
pub(crate) struct HostInput {
    /// Names of programs, separated by commas; one that may end other clients' calls has [`SUPERVISOR`] after its name.
    pub(crate) programs: &'static str,
    pub(crate) arguments: Vec<&'static str, MAX_ARGUMENTS>,
    pub(crate) files: Vec<InputFile, MAX_INPUTS>,
    /// How the root task is to fail, if the host wants to see that.
    pub(crate) failing: Option<Failing>,
}

/// Why the host's input could not be read.
#[derive(Debug, Clone, Copy)]
pub(crate) enum InputError {
    /// Memory or slots ran out: the files are larger than the machine.
    Exhausted,
    /// The kernel refused a step.
    Kernel(Error),
    /// The device failed.
    Device,
    /// Names and arguments are too long, not UTF-8, or too many.
    Text,
}

impl core::fmt::Display for InputError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Exhausted => {
                f.write_str("the files do not fit; give fewer or smaller files, or more memory (--memory)")
            }
            Self::Kernel(error) => write!(f, "the kernel refused a step ({error:?}); report this"),
            Self::Device => f.write_str("fw_cfg does not answer; run a QEMU of version 2.5 or later"),
            Self::Text => f.write_str("names and arguments are too long, too many, or not UTF-8; shorten them"),
        }
    }
}

impl From<Error> for InputError {
    fn from(error: Error) -> Self {
        Self::Kernel(error)
    }
}

impl From<sbm_server::Exhausted> for InputError {
    fn from(_: sbm_server::Exhausted) -> Self {
        Self::Exhausted
    }
}

/// Hands out parts of one static text buffer.
struct Texts(&'static mut [u8]);

impl Texts {
    fn take(&mut self, length: usize) -> Option<&'static mut [u8]> {
        let buffer = core::mem::take(&mut self.0);
        let (text, rest) = buffer.split_at_mut_checked(length)?;
        self.0 = rest;
        Some(text)
    }
}

type Device = FwCfg<cap::IOPort>;

impl HostInput {
    /// What to do where no host is: on a PC.
    pub(crate) const fn none() -> Self {
        Self { programs: DEFAULT_PROGRAM, arguments: Vec::new(), files: Vec::new(), failing: None }
    }

    /// Reads everything that the host hands over.
    pub(crate) fn read(
        machine: &mut Machine,
        ports: cap::IOPort,
        buffer: &'static mut [u8; TEXT_BYTES],
    ) -> Result<Self, InputError> {
        let mut input = Self::none();
        let Some(mut device) = device(machine, ports)? else { return Ok(input) };
        let mut texts = Texts(buffer);
        if let Some(programs) = text(&mut device, &mut texts, "opt/sbm/run")? {
            input.programs = programs;
        }
        if let Some(arguments) = text(&mut device, &mut texts, "opt/sbm/args")? {
            for argument in arguments.split('\n').filter(|argument| !argument.is_empty()) {
                input.arguments.push(argument).map_err(|_| InputError::Text)?;
            }
        }
        input.failing = text(&mut device, &mut texts, "opt/sbm/test")?.and_then(Failing::named);
        for number in 0..=MAX_INPUTS {
            let mut path = String::<40>::new();
            let _ = write!(path, "opt/sbm/input/{number}/name");
            let Some(name) = text(&mut device, &mut texts, &path)? else { break };
            path.clear();
            let _ = write!(path, "opt/sbm/input/{number}/data");
            let before = input.files.last().map(|file| file.pages);
            let file = read_file(machine, &mut device, &path, name, before)?;
            input.files.push(file).map_err(|_| InputError::Text)?;
        }
        Ok(input)
    }
}

/// Stands after the name of a program that may end other clients' calls.
pub(crate) const SUPERVISOR: &str = ":supervisor";

/// What runs when nobody says what.
const DEFAULT_PROGRAM: &str = "pgp-keys";

fn device(machine: &mut Machine, ports: cap::IOPort) -> Result<Option<Device>, InputError> {
    let bytes = DMA_PAGES * PAGE;
    let block = machine.memory.block(u64::from(bytes), DMA_PAGES)?;
    let frames = block.maker().objects::<SmallPage>(DMA_PAGES)?;
    let start = NonNull::new(machine.window.keep(frames)?).ok_or(InputError::Device)?;
    let physical = machine.memory.physical(&block).ok_or(InputError::Device)?;
    // SAFETY: the frames are one block of memory, so contiguous from its base on; they are mapped at `start` for good,
    // and nobody else has them.
    let dma = unsafe { DmaBuffer::new(start, physical, bytes as usize) }.ok_or(InputError::Device)?;
    FwCfg::new(ports, dma).map_err(InputError::Kernel)
}

fn text(device: &mut Device, texts: &mut Texts, name: &str) -> Result<Option<&'static str>, InputError> {
    let Some(file) = device.find(name).map_err(|_| InputError::Device)? else { return Ok(None) };
    let bytes = texts.take(file.bytes() as usize).ok_or(InputError::Text)?;
    device.open(&file).read(bytes).map_err(|_| InputError::Device)?;
    core::str::from_utf8(bytes).map(Some).map_err(|_| InputError::Text)
}

fn read_file(
    machine: &mut Machine,
    device: &mut Device,
    path: &str,
    name: &'static str,
    before: Option<Pages>,
) -> Result<InputFile, InputError> {
    let file = device.find(path).map_err(|_| InputError::Device)?.ok_or(InputError::Device)?;
    let length = file.bytes();
    let pages = place_input(before, length).ok_or(InputError::Exhausted)?;
    let block = machine.memory.block(u64::from(pages.bytes()), u32::from(pages.count))?;
    let frames = block.maker().objects::<SmallPage>(u32::from(pages.count))?;
    let mut reader = device.open(&file);
    for frame in frames.iter() {
        let mut read = Ok(0);
        machine.window.fill_small(frame, |bytes| read = reader.read(bytes))?;
        read.map_err(|_| InputError::Device)?;
    }
    Ok(InputFile { name, length, pages, frames })
}
