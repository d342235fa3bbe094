// SPDX-License-Identifier: MIT OR Apache-2.0
//! A program in the kernel's own sandbox, eBPF, run by `BPF_PROG_TEST_RUN`.
//!
//! The kernel checks the program once, compiles it, and runs it in its own address space: what protects is the check.
//! Both programs are of type `BPF_PROG_TYPE_SYSCALL`, which is made for being run by its caller and nothing else, and
//! costs least. The input travels as a caller would have it who cares: in a map's memory, mapped into the process.

use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};

use aya_obj::generated::{
    BPF_F_MMAPABLE, BPF_F_SLEEPABLE, BPF_PSEUDO_MAP_VALUE, bpf_attr, bpf_cmd, bpf_map_type, bpf_prog_type,
};
use memmap2::{MmapMut, MmapOptions};

use crate::checksum::{LENGTH, checksum, input};
use crate::error::Error;
use crate::rows::{MANY, Row, sample};

/// Returns zero.
const NULL: &str = "
    mov r0, 0
    exit
";

/// The loop of [`checksum`] over the 1,024 bytes of a map's only value.
///
/// r2 walks from the value's address, which the first instruction loads, r6 counts, r5 and r0 sum.
const CHECKSUM: &str = "
    mov r0, 0
    mov r5, 0
    mov r6, 0
    ldxb r7, [r2]
    add32 r5, r7
    add32 r0, r5
    add r2, 1
    add r6, 1
    jlt r6, 1024, -6
    exit
";
const _: () = assert!(LENGTH == 1024);

/// Measures a run of the program that returns zero.
pub(crate) fn null() -> Row {
    Row::new("ebpf_null", null_samples())
}

fn null_samples() -> Result<Vec<u64>, Error> {
    let program = Program::load(&assemble(NULL)?)?;
    sample(MANY, 0, || program.run())
}

/// Measures 1 KiB copied into the map and the checksum over it.
pub(crate) fn checksum_1k() -> Row {
    Row::new("ebpf_checksum_1k", checksum_samples())
}

fn checksum_samples() -> Result<Vec<u64>, Error> {
    let mut map = Map::new()?;
    let mut code = map.address_into_r2()?;
    code.extend(assemble(CHECKSUM)?);
    let program = Program::load(&code)?;
    let input = input();
    sample(MANY, checksum(&input), || {
        map.value.copy_from_slice(&input);
        program.run()
    })
}

/// Turns the text of a program into instructions.
fn assemble(text: &str) -> Result<Vec<u8>, Error> {
    rbpf::assembler::assemble(text).map_err(|reason| Error::Assembly { reason })
}

/// An array of one value of [`LENGTH`] bytes, which this process and its programs share.
struct Map {
    file: OwnedFd,
    value: MmapMut,
}

impl Map {
    /// Makes and maps the array.
    ///
    /// # Errors
    /// Returns the error of `bpf` or `mmap`.
    fn new() -> Result<Map, Error> {
        let mut attributes = empty();
        // SAFETY: all bytes of the union are zero, which is a value of each of its members.
        let create = unsafe { &mut attributes.__bindgen_anon_1 };
        create.map_type = bpf_map_type::BPF_MAP_TYPE_ARRAY as u32;
        create.key_size = size(size_of::<u32>())?;
        create.value_size = size(LENGTH)?;
        create.max_entries = 1;
        create.map_flags = BPF_F_MMAPABLE;
        // SAFETY: the attributes are those of the command and name no memory.
        let file = unsafe { bpf(bpf_cmd::BPF_MAP_CREATE, &mut attributes) }.map_err(Error::system("bpf"))?;
        // SAFETY: the kernel has just made this descriptor, and nobody else has it.
        let file = unsafe { OwnedFd::from_raw_fd(file) };
        // SAFETY: a map cannot be truncated, and nobody but our programs, which run when we call them, has it.
        let value = unsafe { MmapOptions::new().len(LENGTH).map_mut(&file) }.map_err(Error::system("mmap"))?;
        Ok(Map { file, value })
    }

    /// Returns the instruction that loads the address of the value into r2.
    fn address_into_r2(&self) -> Result<Vec<u8>, Error> {
        let mut code = assemble(&format!("lddw r2, {}", self.file.as_raw_fd()))?;
        // The source field, in the upper half of the second byte, says that the number is a map's descriptor and that
        // its value is meant. The assembler has no word for that.
        if let Some(registers) = code.get_mut(1) {
            *registers |= (BPF_PSEUDO_MAP_VALUE as u8) << 4;
        }
        Ok(code)
    }
}

/// A program that the kernel has accepted.
struct Program {
    file: OwnedFd,
}

impl Program {
    /// Loads a program.
    ///
    /// # Errors
    /// Returns the error of `bpf`: `EACCES` or `EINVAL` when the kernel's verifier refuses the program.
    fn load(code: &[u8]) -> Result<Program, Error> {
        let mut attributes = empty();
        // SAFETY: all bytes of the union are zero, which is a value of each of its members.
        let load = unsafe { &mut attributes.__bindgen_anon_3 };
        load.prog_type = bpf_prog_type::BPF_PROG_TYPE_SYSCALL as u32;
        load.prog_flags = BPF_F_SLEEPABLE;
        load.insns = address(code.as_ptr());
        load.insn_cnt = size(code.len() / BYTES_OF_INSTRUCTION)?;
        load.license = address(c"Dual MIT/GPL".as_ptr());
        // SAFETY: the instructions and the license live until the call returns, and their length is given.
        let file = unsafe { bpf(bpf_cmd::BPF_PROG_LOAD, &mut attributes) }.map_err(Error::system("bpf"))?;
        // SAFETY: the kernel has just made this descriptor, and nobody else has it.
        Ok(Program { file: unsafe { OwnedFd::from_raw_fd(file) } })
    }

    /// Runs the program once and returns its result.
    ///
    /// # Errors
    /// Returns the error of `bpf`.
    fn run(&self) -> Result<u32, Error> {
        let mut attributes = empty();
        // SAFETY: all bytes of the union are zero, which is a value of each of its members.
        let test = unsafe { &mut attributes.test };
        test.prog_fd = u32::try_from(self.file.as_raw_fd()).map_err(|_| Error::WrongResult)?;
        // SAFETY: the attributes are those of the command and name no memory.
        unsafe { bpf(bpf_cmd::BPF_PROG_TEST_RUN, &mut attributes) }.map_err(Error::system("bpf"))?;
        // SAFETY: the kernel has filled in this member.
        Ok(unsafe { attributes.test.retval })
    }
}

/// Length of an eBPF instruction.
const BYTES_OF_INSTRUCTION: usize = 8;

/// Returns attributes without any value.
fn empty() -> bpf_attr {
    // SAFETY: the union's members are integers and arrays of integers.
    unsafe { core::mem::zeroed() }
}

/// Returns an address as the kernel takes it.
fn address<T>(pointer: *const T) -> u64 {
    pointer.expose_provenance() as u64
}

/// Returns a length or a count as the kernel takes it.
fn size(length: usize) -> Result<u32, Error> {
    u32::try_from(length).map_err(|_| Error::WrongResult)
}

/// Makes the system call, for which no safe wrapper exists.
///
/// # Safety
/// The attributes must be those of the command, and the memory that they name must be valid for it.
unsafe fn bpf(command: bpf_cmd, attributes: &mut bpf_attr) -> io::Result<RawFd> {
    // SAFETY: the caller vouches for what the attributes name; they themselves are as long as is said.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, command as libc::c_int, std::ptr::from_mut(attributes), size_of::<bpf_attr>())
    };
    match RawFd::try_from(result) {
        Ok(value) if value >= 0 => Ok(value),
        _ => Err(io::Error::last_os_error()),
    }
}
