// SPDX-License-Identifier: MIT OR Apache-2.0
//! The devices that there is one of: console, debug exit, and the page that fw_cfg transfers to.

use core::{
    cell::UnsafeCell,
    ptr::NonNull,
    sync::atomic::{AtomicBool, Ordering},
};

use pc::{DebugExit, DmaBuffer, FwCfg, Pit, Serial, Stuck};
use sel4::{BootInfoPtr, cap, init_thread};
use sel4_root_task::Exit;

use crate::check::{At, Verdict};

/// What drivers reach devices by.
pub(crate) type Port = cap::IOPort;

/// Capabilities to the ports of each device, and to no others.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ports {
    pub(crate) serial: Port,
    pub(crate) exit: Port,
    pub(crate) fw_cfg: Port,
    pub(crate) pit: Port,
}

impl Ports {
    /// How many slots they are in.
    pub(crate) const SLOTS: usize = 4;

    /// Takes them into the slots from `first` on.
    pub(crate) fn take(first: usize) -> sel4::Result<Self> {
        let ranges = [Serial::<Port>::PORTS, DebugExit::<Port>::PORTS, FwCfg::<Port>::PORTS, Pit::<Port>::PORTS];
        let mut caps = [Port::from_bits(0); Self::SLOTS];
        for (number, (range, cap)) in ranges.into_iter().zip(&mut caps).enumerate() {
            *cap = init_thread::io_ports(*range.start(), *range.end(), init_thread::Slot::from_index(first + number))?;
        }
        let [serial, exit, fw_cfg, pit] = caps;
        Ok(Self { serial, exit, fw_cfg, pit })
    }
}

/// The way out: where text goes, and how the run ends.
struct Way {
    serial: Option<Serial<Port>>,
    exit: Option<Port>,
}

/// A value that the one thread of the suite reaches.
pub(crate) struct OneThread<T>(pub(crate) UnsafeCell<T>);

// SAFETY: the suite has one thread.
unsafe impl<T> Sync for OneThread<T> {}

static WAY: OneThread<Way> = OneThread(UnsafeCell::new(Way { serial: None, exit: None }));

/// Sends what is printed to COM1, and ends QEMU when the suite ends. Says whether there is a COM1.
pub(crate) fn start(ports: &Ports) -> bool {
    let serial = Serial::new(ports.serial);
    let found = serial.is_some();
    // SAFETY: one thread, and no reference outlives the statement that makes it, here and below.
    unsafe { *WAY.0.get() = Way { serial, exit: Some(ports.exit) } };
    sel4_root_task::set_printer(|text| {
        // A console that does not take bytes has nobody to tell it to.
        let _ = write(text.as_bytes());
    });
    sel4_root_task::set_exit(exit);
    found
}

/// Writes bytes to COM1, or to the kernel's console where there is none.
pub(crate) fn write(bytes: &[u8]) -> Result<(), Stuck> {
    // SAFETY: as in `start`.
    match unsafe { (*WAY.0.get()).serial.as_mut() } {
        Some(serial) => serial.write(bytes),
        None => {
            bytes.iter().copied().for_each(sel4::debug_put_char);
            Ok(())
        }
    }
}

/// Ends QEMU with the value that the host knows.
fn exit(how: Exit) -> ! {
    let value = match how {
        Exit::Success => 0x10,
        Exit::Failure => 0x11,
        Exit::Panic => 0x12,
    };
    // SAFETY: as in `start`.
    match unsafe { (*WAY.0.get()).exit } {
        Some(ports) => DebugExit::new(ports).exit(value, || init_thread::suspend_self()),
        None => init_thread::suspend_self(),
    }
}

const PAGE: usize = 4096;

/// Bytes of a file that one transfer brings: the page less fw_cfg's control block.
pub(crate) const TRANSFER: usize = PAGE - 16;

#[repr(C, align(4096))]
struct Page(UnsafeCell<[u8; PAGE]>);

// SAFETY: nothing in Rust reaches the bytes but the buffer that `dma_buffer` makes, once.
unsafe impl Sync for Page {}

static DMA_PAGE: Page = Page(UnsafeCell::new([0; PAGE]));
static DMA_TAKEN: AtomicBool = AtomicBool::new(false);

unsafe extern "C" {
    /// First byte of the image, as the linker script defines it.
    static __executable_start: u8;
}

/// Lends the page that fw_cfg transfers to, once.
pub(crate) fn dma_buffer(bootinfo: &BootInfoPtr) -> Verdict<DmaBuffer> {
    let start = NonNull::new(DMA_PAGE.0.get()).at("the page")?.cast::<u8>();
    let index = start.addr().get() / PAGE - (&raw const __executable_start).addr() / PAGE;
    let frame = bootinfo.user_image_frames().get(index).at("the page's frame")?;
    let physical = frame.cap().frame_get_address().at("its address")?;
    crate::check::check!(!DMA_TAKEN.swap(true, Ordering::Relaxed), "the page is lent already");
    // SAFETY: a page of the image, mapped writable for good, whose frame is at `physical`; lent once, as just checked.
    unsafe { DmaBuffer::new(start, physical as u64, PAGE) }.at("the buffer")
}
