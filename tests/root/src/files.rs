// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests of fw_cfg: files that the host hands over, read by DMA.
//!
//! The host gives two: the suite's name, as to any suite, and the numbers from 0 on, one a line.

use pc::{DmaBuffer, FwCfg};
use sel4::Error;

use crate::{
    World,
    check::{At, Verdict, check, same},
    devices::{Port, TRANSFER},
};

const NAME: &str = "opt/sbm/name";
const NUMBERS: &str = "opt/sbm/numbers";

fn device<'a>(world: &'a mut World<'_>) -> Verdict<&'a mut FwCfg<Port>> {
    world.fw_cfg.as_mut().at("fw_cfg")
}

pub(crate) fn a_file_is_read_by_its_name(world: &mut World<'_>) -> Verdict {
    let device = device(world)?;
    let file = device.find(NAME).at("find")?.at(NAME)?;
    let mut bytes = [0xaa; 16];
    let mut reader = device.open(&file);
    let length = reader.read(&mut bytes).at("read")?;
    same!(bytes.get(..length), Some(&b"root"[..]));
    check!(bytes[length..].iter().all(|&byte| byte == 0xaa), "bytes behind the file are written");
    Ok(())
}

pub(crate) fn a_name_that_is_not_there_is_not_found(world: &mut World<'_>) -> Verdict {
    let device = device(world)?;
    // Longer than a directory entry has room for.
    let long = [b'n'; 57];
    for name in ["", "opt/sbm/nam", "opt/sbm/name2", "opt/sbm/NAME", "name", core::str::from_utf8(&long).at("name")?] {
        check!(device.find(name).at("find")?.is_none(), "{name} is found");
    }
    check!(device.find(NAME).at("find")?.is_some(), "{NAME} is not found any more");
    Ok(())
}

/// Reads the numbers in portions smaller and larger than a transfer, and follows them to the last.
pub(crate) fn a_file_longer_than_a_transfer_is_read_whole(world: &mut World<'_>) -> Verdict {
    let device = device(world)?;
    let file = device.find(NUMBERS).at("find")?.at(NUMBERS)?;
    check!(file.bytes() as usize > 2 * TRANSFER, "{NUMBERS} has {} bytes, too few to tell", file.bytes());
    let mut buffer = [0; 3 * TRANSFER];
    for portion in [7, TRANSFER - 1, TRANSFER, TRANSFER + 1, 3 * TRANSFER] {
        let (mut lines, mut number, mut total) = (0_u32, 0_u32, 0);
        let mut reader = device.open(&file);
        loop {
            let length = reader.read(&mut buffer[..portion]).at("read")?;
            for &byte in &buffer[..length] {
                if byte == b'\n' {
                    check!(number == lines, "by {portion}: {number} instead of {lines}");
                    (lines, number) = (lines + 1, 0);
                } else {
                    check!(byte.is_ascii_digit(), "by {portion}: byte {byte:#x} after {total}");
                    number = number.saturating_mul(10) + u32::from(byte - b'0');
                }
            }
            total += length;
            if length == 0 {
                break;
            }
        }
        same!(total, file.bytes() as usize);
        same!(number, 0);
    }
    Ok(())
}

pub(crate) fn there_is_nothing_to_read_behind_the_end_of_a_file(world: &mut World<'_>) -> Verdict {
    let device = device(world)?;
    let file = device.find(NAME).at("find")?.at(NAME)?;
    let mut reader = device.open(&file);
    let mut bytes = [0xaa; 8];
    same!(reader.read(&mut bytes).at("read")?, file.bytes() as usize);
    let read = bytes;
    same!(reader.read(&mut bytes), Ok(0));
    same!(bytes, read);
    Ok(())
}

pub(crate) fn without_its_ports_the_device_is_not_asked(world: &mut World<'_>) -> Verdict {
    let mut bytes = [0_u64; 64];
    let start = core::ptr::NonNull::from(&mut bytes).cast();
    // SAFETY: refused before the first transfer, as the test shows, so that no address is given to the device.
    let buffer = unsafe { DmaBuffer::new(start, 0, size_of_val(&bytes)) }.at("buffer")?;
    same!(FwCfg::new(world.ports.serial, buffer).map(|device| device.is_some()), Err(Error::IllegalOperation));
    Ok(())
}
