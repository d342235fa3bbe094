// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is to run: the description of the system, and its input files.
//!
//! The host hands both over through fw_cfg. Where it hands nothing over, as on a PC, which has no fw_cfg, they are those
//! that the image carries in its archive, under the same names; and where it carries none, the standard system runs.

use core::{fmt::Write, ptr::NonNull};

use heapless::{String, Vec};
use pc::{DmaBuffer, FwCfg};
use sbm_abi::{
    Input, MAX_INPUTS, Pages,
    limits::{INPUT_BASE, INPUT_END, LARGE_PAGE, PAGE},
};
use sbm_loader::Archive;
use sbm_objects::Chain;
use sbm_server::Shortage;
use sbm_system::{System, Wrong};
use sel4::{
    Error, cap,
    cap_type::{LargePage, SmallPage},
};

use crate::{failing::Failing, machine::Machine, object::Row, turns::Turns};

/// Bytes that one transfer brings.
const DMA_PAGES: u32 = 16;
/// Bytes of the description, and of what else is short.
pub(crate) const TEXT_BYTES: usize = sbm_system::MAX_BYTES + 64;

/// An input file, in frames of its own: the large ones first.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InputFile {
    name: &'static str,
    length: u32,
    pub(crate) pages: Pages,
    pub(crate) frames: Row,
    large: u32,
}

impl InputFile {
    pub(crate) const fn describe(&self) -> Input<'static> {
        Input { name: self.name, address: self.pages.address, length: self.length }
    }

    /// Lets `fill` write the frames, one after the other.
    fn fill(&self, machine: &mut Machine, mut fill: impl FnMut(&mut [u8])) -> Result<(), Error> {
        for (number, frame) in (0..).zip(self.frames.iter()) {
            if number < self.large {
                machine.window.fill_large(frame, &mut fill)?;
            } else {
                machine.window.fill_small(frame, &mut fill)?;
            }
        }
        Ok(())
    }
}

/// What the host asks for.
pub(crate) struct HostInput {
    /// The description of the system, which adds up by itself.
    pub(crate) system: System<'static>,
    /// Its input files, in its order.
    pub(crate) files: Vec<InputFile, MAX_INPUTS>,
    /// How the root task is to fail, if the host wants to see that.
    pub(crate) failing: Option<Failing>,
    /// How long turns take, if the host asks for it.
    pub(crate) turns: Option<Turns>,
}

/// Why the host's input could not be read.
#[derive(Debug, Clone, Copy)]
pub(crate) enum InputError {
    /// Memory or slots ran out: the files are larger than the machine.
    Exhausted,
    /// The kernel refused a step.
    Kernel(Error),
    /// The files are larger than a client has room for.
    TooLarge,
    /// The device failed.
    Device,
    /// The description is longer than one can be, or is none.
    Malformed,
    /// The description does not add up.
    Wrong(Wrong),
}

impl core::fmt::Display for InputError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Exhausted => f.write_str("the input files take more memory than there is; give more (--memory)"),
            Self::TooLarge => {
                let most = (INPUT_END - INPUT_BASE) >> 20;
                write!(f, "the input files take more than {most} MiB; give fewer or smaller ones")
            }
            Self::Kernel(error) => write!(f, "the kernel refused a step for the host's input ({error:?}); report this"),
            Self::Device => f.write_str("fw_cfg does not answer, or lacks a file; run a QEMU of version 2.5 or later"),
            Self::Malformed => f.write_str("the description of the system is refused: its bytes are none"),
            Self::Wrong(wrong) => write!(f, "the description of the system is refused: {wrong}"),
        }
    }
}

impl From<Error> for InputError {
    fn from(error: Error) -> Self {
        Self::Kernel(error)
    }
}

impl From<Shortage> for InputError {
    fn from(_: Shortage) -> Self {
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
    /// Reads what is to run, from one place: the host, or the image.
    pub(crate) fn read(
        machine: &mut Machine,
        ports: cap::IOPort,
        buffer: &'static mut [u8; TEXT_BYTES],
        archive: &Archive<'static>,
    ) -> Result<Self, InputError> {
        let mut input = Self { system: System::standard(), files: Vec::new(), failing: None, turns: None };
        let mut texts = Texts(buffer);
        let (mut host, mut description) = (device(machine, ports)?, None);
        if let Some(device) = &mut host {
            let asked = text(device, &mut texts, "opt/sbm/test")?.and_then(|name| core::str::from_utf8(name).ok());
            input.failing = asked.and_then(Failing::named);
            input.turns = asked.filter(|name| *name == "turns").map(|_| Turns::default());
            description = text(device, &mut texts, DESCRIPTION)?;
        }
        if description.is_none() {
            (host, description) = (None, archive.find(DESCRIPTION));
        }
        if let Some(bytes) = description {
            input.system = System::decode(bytes).map_err(|_| InputError::Malformed)?;
        }
        input.system.check(|name| archive.find(name).is_some()).map_err(InputError::Wrong)?;
        for (number, name) in input.system.inputs.iter().enumerate() {
            let mut path = String::<40>::new();
            // There is room for a path of this form.
            let _ = write!(path, "opt/sbm/input/{number}");
            let before = input.files.last().map(|file| file.pages);
            let file = match &mut host {
                Some(device) => read_file(machine, device, &path, name, before)?,
                None => copy_file(machine, archive.find(&path).ok_or(InputError::Device)?, name, before)?,
            };
            // As many as the description can have.
            let _ = input.files.push(file);
        }
        Ok(input)
    }
}

/// The name of the description, on the host and in the archive.
const DESCRIPTION: &str = "opt/sbm/system";

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

fn text(device: &mut Device, texts: &mut Texts, name: &str) -> Result<Option<&'static [u8]>, InputError> {
    let Some(file) = device.find(name).map_err(|_| InputError::Device)? else { return Ok(None) };
    let bytes = texts.take(file.bytes() as usize).ok_or(InputError::Malformed)?;
    device.open(&file).read(bytes).map_err(|_| InputError::Device)?;
    Ok(Some(bytes))
}

fn read_file(
    machine: &mut Machine,
    device: &mut Device,
    path: &str,
    name: &'static str,
    before: Option<Pages>,
) -> Result<InputFile, InputError> {
    let file = device.find(path).map_err(|_| InputError::Device)?.ok_or(InputError::Device)?;
    let input = place(machine, name, file.bytes(), before)?;
    let mut reader = device.open(&file);
    let mut is_well = true;
    input.fill(machine, |bytes| is_well &= reader.read(bytes).is_ok())?;
    is_well.then_some(input).ok_or(InputError::Device)
}

/// Copies a file of the archive into frames of its own, of which clients get copies to read.
fn copy_file(
    machine: &mut Machine,
    bytes: &[u8],
    name: &'static str,
    before: Option<Pages>,
) -> Result<InputFile, InputError> {
    let length = u32::try_from(bytes.len()).map_err(|_| InputError::TooLarge)?;
    let input = place(machine, name, length, before)?;
    let mut rest = bytes.iter();
    input.fill(machine, |frame| frame.iter_mut().zip(rest.by_ref()).for_each(|(to, from)| *to = *from))?;
    Ok(input)
}

/// Makes the frames of a file that lies behind another one.
fn place(
    machine: &mut Machine,
    name: &'static str,
    length: u32,
    before: Option<Pages>,
) -> Result<InputFile, InputError> {
    let pages = Pages::of_input(before, length).ok_or(InputError::TooLarge)?;
    let (large, small) = pages.of_large_input();
    let large = large.frames(true);
    let frames =
        Row::new(machine.memory.slots(large + small.count).map_err(Shortage::from)?.first(), large + small.count);
    // It stays as long as the machine runs.
    let mut blocks = Chain::EMPTY;
    for number in 0..large {
        let mut maker = machine.memory.link(&mut blocks, LARGE_PAGE.into(), frames.slot(number), 1)?;
        maker.objects::<LargePage>(1)?;
    }
    if small.count > 0 {
        let mut maker = machine.memory.link(&mut blocks, small.bytes().into(), frames.slot(large), small.count)?;
        maker.objects::<SmallPage>(small.count)?;
    }
    Ok(InputFile { name, length, pages, frames, large })
}
