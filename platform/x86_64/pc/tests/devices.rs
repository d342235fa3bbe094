// SPDX-License-Identifier: MIT OR Apache-2.0
//! The drivers against models of their devices
#![allow(clippy::unwrap_used, clippy::panic)]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt::Write;
use std::ptr::NonNull;
use std::rc::Rc;
use std::time::Duration;

use pc::{DebugExit, DmaBuffer, FwCfg, FwCfgError, MAX_FILES, Pit, Ports, Serial, Ticks};

/// A port that the capability does not cover.
#[derive(Debug, PartialEq, Eq)]
struct Refused(u16);

type Accesses = Rc<RefCell<Vec<(u16, u32)>>>;

/// Remembers writes; reads like an empty bus.
#[derive(Clone, Default)]
struct Recorder(Accesses);

impl Ports for Recorder {
    type Error = Refused;

    fn in8(&mut self, _port: u16) -> Result<u8, Refused> {
        Ok(0xff)
    }
    fn out8(&mut self, port: u16, value: u8) -> Result<(), Refused> {
        self.0.borrow_mut().push((port, value.into()));
        Ok(())
    }
    fn out16(&mut self, port: u16, value: u16) -> Result<(), Refused> {
        self.0.borrow_mut().push((port, value.into()));
        Ok(())
    }
    fn out32(&mut self, port: u16, value: u32) -> Result<(), Refused> {
        self.0.borrow_mut().push((port, value));
        Ok(())
    }
}

/// Refuses all ports.
struct NoPorts;

impl Ports for NoPorts {
    type Error = Refused;

    fn in8(&mut self, port: u16) -> Result<u8, Refused> {
        Err(Refused(port))
    }
    fn out8(&mut self, port: u16, _value: u8) -> Result<(), Refused> {
        Err(Refused(port))
    }
    fn out16(&mut self, port: u16, _value: u16) -> Result<(), Refused> {
        Err(Refused(port))
    }
    fn out32(&mut self, port: u16, _value: u32) -> Result<(), Refused> {
        Err(Refused(port))
    }
}

/// A 16550 whose FIFO empties each time someone looks, while `flowing`.
#[derive(Clone)]
struct Uart {
    state: Rc<RefCell<UartState>>,
}

#[derive(Default)]
struct UartState {
    registers: [u8; 8],
    sent: Vec<u8>,
    in_fifo: usize,
    deepest: usize,
    flowing: bool,
    looks: usize,
    received: VecDeque<u8>,
    /// The level of the interrupt line, and how often it has risen.
    line: bool,
    edges: usize,
}

impl Uart {
    fn new() -> Self {
        Self { state: Rc::new(RefCell::new(UartState { flowing: true, ..UartState::default() })) }
    }

    fn receive(&self, bytes: &[u8]) {
        let mut uart = self.state.borrow_mut();
        uart.received.extend(bytes);
        uart.drive();
    }
}

impl UartState {
    /// Sets the line as the bytes and the interrupt's switch say.
    fn drive(&mut self) {
        let line = self.registers[1] & 1 != 0 && !self.received.is_empty();
        self.edges += usize::from(line && !self.line);
        self.line = line;
    }
}

impl Ports for Uart {
    type Error = Refused;

    fn in8(&mut self, port: u16) -> Result<u8, Refused> {
        let mut uart = self.state.borrow_mut();
        match port.checked_sub(0x3f8).ok_or(Refused(port))? {
            0 => {
                let byte = uart.received.pop_front().unwrap_or(0);
                uart.drive();
                Ok(byte)
            }
            // FIFOs enabled, no interrupt.
            2 => Ok(0xc1),
            5 => {
                uart.looks += 1;
                if uart.flowing {
                    uart.in_fifo = 0;
                }
                Ok(if uart.in_fifo == 0 { 0x60 } else { 0 } | u8::from(!uart.received.is_empty()))
            }
            register @ 0..8 => Ok(uart.registers[usize::from(register)]),
            _ => Err(Refused(port)),
        }
    }
    fn out8(&mut self, port: u16, value: u8) -> Result<(), Refused> {
        let mut uart = self.state.borrow_mut();
        let divisor_latch = uart.registers[3] & 0x80 != 0;
        match port.checked_sub(0x3f8).ok_or(Refused(port))? {
            0 if !divisor_latch => {
                uart.sent.push(value);
                uart.in_fifo += 1;
                uart.deepest = uart.deepest.max(uart.in_fifo);
            }
            register @ 0..8 => {
                uart.registers[usize::from(register)] = value;
                uart.drive();
            }
            _ => return Err(Refused(port)),
        }
        Ok(())
    }
    fn out16(&mut self, port: u16, _value: u16) -> Result<(), Refused> {
        Err(Refused(port))
    }
    fn out32(&mut self, port: u16, _value: u32) -> Result<(), Refused> {
        Err(Refused(port))
    }
}

#[test]
fn text_is_sent_whole_in_portions_of_the_fifo() {
    let uart = Uart::new();
    let mut serial = Serial::new(uart.clone()).unwrap();
    let (text, before) = ("0123456789abcdef".repeat(5) + "\n", uart.state.borrow().looks);
    serial.write_str(&text).unwrap();
    let state = uart.state.borrow();
    assert_eq!((state.sent.as_slice(), state.deepest, state.looks - before), (text.as_bytes(), 16, 6));
}

#[test]
fn a_stuck_line_is_given_up_and_taken_up_again_when_it_moves() {
    let uart = Uart::new();
    let mut serial = Serial::new(uart.clone()).unwrap();
    uart.state.borrow_mut().flowing = false;
    assert_eq!(serial.write(&[b'x'; 40]).unwrap_err().sent, 16);
    let looks = uart.state.borrow().looks;
    assert!(serial.write_str("lost").is_err());
    assert_eq!(uart.state.borrow().looks, looks + 1);
    uart.state.borrow_mut().flowing = true;
    assert_eq!(serial.write(&[b'y'; 40]), Ok(()));
    assert_eq!(uart.state.borrow().sent.len(), 16 + 40);
}

#[test]
fn a_received_byte_raises_the_interrupt_and_is_taken_out() {
    let uart = Uart::new();
    let mut serial = Serial::new(uart.clone()).unwrap();
    uart.receive(b"early");
    assert_eq!(uart.state.borrow().edges, 0);
    serial.start_receiving();
    assert_eq!(uart.state.borrow().edges, 1);
    assert!(!serial.take_received(b'?'));
    uart.receive(b"?");
    assert_eq!(uart.state.borrow().edges, 2);
    assert!(serial.take_received(b'?'));
    assert!(!serial.take_received(b'?'));
    assert_eq!((uart.state.borrow().edges, uart.state.borrow().line), (2, false));
}

#[test]
fn bytes_that_are_left_raise_the_interrupt_anew() {
    let uart = Uart::new();
    let mut serial = Serial::new(uart.clone()).unwrap();
    serial.start_receiving();
    uart.receive(&[b'x'; 20]);
    uart.receive(b"?");
    assert!(!serial.take_received(b'?'));
    assert_eq!((uart.state.borrow().edges, uart.state.borrow().received.len()), (2, 5));
    assert!(serial.take_received(b'?'));
    assert_eq!((uart.state.borrow().edges, uart.state.borrow().line), (2, false));
}

#[test]
fn a_port_without_a_uart_or_without_access_is_none() {
    assert!(Serial::new(Recorder::default()).is_none());
    assert!(Serial::new(NoPorts).is_none());
}

#[test]
fn an_exit_is_one_write_and_then_rest() {
    struct Rested;
    let ports = Recorder::default();
    let mut exit = DebugExit::new(ports.clone());
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        exit.exit(0x10, || std::panic::resume_unwind(Box::new(Rested)))
    }));
    assert!(outcome.err().unwrap().is::<Rested>());
    assert_eq!(*ports.0.borrow(), [(0xf4, 0x10)]);
}

#[test]
fn a_shot_sets_mode_and_count_and_a_stop_the_mode_alone() {
    let ports = Recorder::default();
    let mut pit = Pit::new(ports.clone());
    pit.start(Ticks::lasting(Duration::from_millis(1))).unwrap();
    pit.stop().unwrap();
    assert_eq!(*ports.0.borrow(), [(0x43, 0x30), (0x40, 0xaa), (0x40, 0x04), (0x43, 0x30)]);
    assert_eq!(Pit::new(NoPorts).stop(), Err(Refused(0x43)));
}

/// fw_cfg, with physical addresses that are the test's own.
struct Device {
    items: Vec<(u16, Vec<u8>)>,
    selected: u16,
    offset: usize,
    dma_high: u32,
    behaviour: Behaviour,
    transfers: Rc<RefCell<usize>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Behaviour {
    Good,
    Failing,
    Hanging,
}

impl Device {
    fn new(files: &[(&str, &[u8])]) -> Self {
        let mut directory = (files.len() as u32).to_be_bytes().to_vec();
        let mut items = vec![(0, b"QEMU".to_vec()), (1, vec![3, 0, 0, 0])];
        for (index, (name, data)) in files.iter().enumerate() {
            let key = 0x20 + index as u16;
            directory.extend((data.len() as u32).to_be_bytes());
            directory.extend(key.to_be_bytes());
            directory.extend([0; 2]);
            directory.extend(name.bytes().chain(std::iter::repeat(0)).take(56));
            items.push((key, data.to_vec()));
        }
        items.push((0x19, directory));
        let transfers = Rc::default();
        Self { items, selected: 0, offset: 0, dma_high: 0, behaviour: Behaviour::Good, transfers }
    }

    fn select(&mut self, key: u16) {
        (self.selected, self.offset) = (key, 0);
    }

    fn next(&mut self) -> u8 {
        self.offset += 1;
        let item = self.items.iter().find(|(key, _)| *key == self.selected);
        item.and_then(|(_, data)| data.get(self.offset - 1).copied()).unwrap_or(0)
    }

    fn dma(&mut self, block: *mut u8) {
        *self.transfers.borrow_mut() += 1;
        if self.behaviour == Behaviour::Hanging {
            return;
        }
        // SAFETY: the driver hands over the address of the control block in the buffer that the test made.
        let header: [u8; 16] = unsafe { block.cast::<[u8; 16]>().read() };
        let word = |at: usize| u32::from_be_bytes(header[at..at + 4].try_into().unwrap());
        let (control, length) = (word(0), word(4));
        let target = ((u64::from(word(8)) << 32) | u64::from(word(12))) as *mut u8;
        assert_eq!(control & 0xffff & !0xa, 0, "only read and select");
        if control & 8 != 0 {
            self.select((control >> 16) as u16);
        }
        for at in 0..length as usize {
            // SAFETY: as above; the driver's length stays inside that buffer, which the test's guard bytes show.
            unsafe { target.add(at).write(self.next()) };
        }
        let done = if self.behaviour == Behaviour::Failing { 1u32.to_be() } else { 0 };
        // SAFETY: as above.
        unsafe { block.cast::<u32>().write(done) };
    }
}

impl Ports for Device {
    type Error = Refused;

    fn in8(&mut self, port: u16) -> Result<u8, Refused> {
        if port == 0x511 { Ok(self.next()) } else { Err(Refused(port)) }
    }
    fn out8(&mut self, port: u16, _value: u8) -> Result<(), Refused> {
        Err(Refused(port))
    }
    fn out16(&mut self, port: u16, value: u16) -> Result<(), Refused> {
        if port != 0x510 {
            return Err(Refused(port));
        }
        self.select(value);
        Ok(())
    }
    fn out32(&mut self, port: u16, value: u32) -> Result<(), Refused> {
        match port {
            0x514 => self.dma_high = u32::from_be(value),
            0x518 => self.dma(((u64::from(self.dma_high) << 32) | u64::from(u32::from_be(value))) as *mut u8),
            _ => return Err(Refused(port)),
        }
        Ok(())
    }
}

const BUFFER: usize = 16 + 100;

/// A buffer of `BUFFER` bytes, never freed, with guard bytes behind it.
fn buffer() -> (DmaBuffer, &'static [u64]) {
    let memory: &'static mut [u64] = vec![0x5a5a_5a5a_5a5a_5a5a; 64].leak();
    let start = NonNull::new(memory.as_mut_ptr().cast::<u8>()).unwrap();
    // SAFETY: the memory lives for ever and is handed out once; the models' physical addresses are the test's own.
    let buffer = unsafe { DmaBuffer::new(start, start.as_ptr() as u64, BUFFER) }.unwrap();
    // SAFETY: past the buffer, and read only after the last transfer.
    (buffer, unsafe { std::slice::from_raw_parts(memory.as_ptr().add(BUFFER.div_ceil(8)), 8) })
}

/// Reads a file whole, `portion` bytes at a time.
fn read(device: &mut FwCfg<Device>, name: &str, portion: usize) -> Result<Option<Vec<u8>>, FwCfgError<Refused>> {
    let Some(file) = device.find(name)? else { return Ok(None) };
    let (mut reader, mut out) = (device.open(&file), Vec::new());
    loop {
        let mut part = vec![0; portion];
        match reader.read(&mut part)? {
            0 => return Ok(Some(out)),
            length => out.extend(&part[..length]),
        }
    }
}

#[test]
fn files_are_read_whole_whatever_the_portions() {
    let large: Vec<u8> = (0..1000).map(|n| (n % 251) as u8).collect();
    let files: [(&str, &[u8]); 3] = [("opt/sbm/run", b"pgp-keys"), ("opt/sbm/large", &large), ("opt/sbm/empty", b"")];
    let (dma, guard) = buffer();
    let mut device = FwCfg::new(Device::new(&files), dma).unwrap().unwrap();
    for portion in [1, 7, 99, 100, 101, 333, 4096] {
        for (name, data) in files {
            assert_eq!(read(&mut device, name, portion).unwrap().unwrap(), data, "{name} by {portion}");
        }
    }
    assert!(guard.iter().all(|&word| word == 0x5a5a_5a5a_5a5a_5a5a));
}

#[test]
fn names_that_are_not_in_the_directory_are_not_found() {
    let longest = "n".repeat(56);
    let (dma, _) = buffer();
    let mut device = FwCfg::new(Device::new(&[("opt/sbm/run", b"x"), (&longest, b"y")]), dma).unwrap().unwrap();
    for name in ["", "opt/sbm/ru", "opt/sbm/run\0", "opt/sbm/run/", &"n".repeat(57), &"n".repeat(55)] {
        assert_eq!(device.find(name), Ok(None), "{name}");
    }
    assert!(device.find(&longest).unwrap().is_some());
}

#[test]
fn a_transfer_takes_one_start_for_each_buffer_full() {
    let device = Device::new(&[("a", &[1; 1000])]);
    let (transfers, (dma, _)) = (device.transfers.clone(), buffer());
    let mut device = FwCfg::new(device, dma).unwrap().unwrap();
    read(&mut device, "a", 1000).unwrap().unwrap();
    assert_eq!(*transfers.borrow(), 1 + 1 + 10);
}

#[test]
fn a_bus_without_the_device_or_without_dma_is_none() {
    assert!(FwCfg::new(Recorder::default(), buffer().0).unwrap().is_none());
    let mut old = Device::new(&[]);
    old.items[1].1 = vec![1, 0, 0, 0];
    assert!(FwCfg::new(old, buffer().0).unwrap().is_none());
}

#[test]
fn failures_of_the_device_are_errors() {
    let outcome = |behaviour| {
        let mut device = Device::new(&[("a", b"x")]);
        device.behaviour = behaviour;
        FwCfg::new(device, buffer().0).unwrap().unwrap().find("a").unwrap_err()
    };
    assert_eq!(outcome(Behaviour::Failing), FwCfgError::Failed);
    assert_eq!(outcome(Behaviour::Hanging), FwCfgError::Stuck);
    assert_eq!(FwCfg::new(NoPorts, buffer().0).err(), Some(Refused(0x510)));
}

#[test]
fn a_directory_without_end_is_refused() {
    let mut device = Device::new(&[]);
    device.items.pop();
    device.items.push((0x19, vec![0xff; 4]));
    let mut device = FwCfg::new(device, buffer().0).unwrap().unwrap();
    assert_eq!(device.find("a"), Err(FwCfgError::TooManyFiles { found: u32::MAX }));
    const { assert!(MAX_FILES < u32::MAX) };
}

#[test]
fn a_buffer_that_is_too_small_or_misaligned_is_refused() {
    let start = NonNull::<u64>::dangling().cast::<u8>();
    // SAFETY: a refused buffer is never used.
    unsafe {
        assert!(DmaBuffer::new(start, 0, 16 + 63).is_none());
        assert!(DmaBuffer::new(start.add(4), 0, 4096).is_none());
    }
}
