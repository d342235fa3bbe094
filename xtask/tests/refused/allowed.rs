// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the others do, in the way that is allowed.
use sbm::{Error, Pod, Proxy, Sbm, Tainted, copy_in, copy_out, serve, value};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Key(u32);

#[derive(Clone, Copy, Pod)]
#[repr(C)]
struct Header {
    length: u32,
}

#[sbm::service]
trait Ids {
    fn next(&mut self, after: Key) -> u32;
}

struct Counter(u32);

impl Ids for Counter {
    fn next(&mut self, after: Key) -> u32 {
        self.0 += after.0;
        self.0
    }
}

fn parse(bytes: &[u8]) -> Result<Key, ()> {
    bytes.first().map(|byte| Key(u32::from(*byte))).ok_or(())
}

fn take(mut ids: Proxy<dyn Ids>, key: Key) -> u32 {
    ids.next(key)
}

fn write(header: &mut Header) {
    header.length = 1;
}

fn main() -> Result<(), Error> {
    let mut sbm = Sbm::new()?;
    let table = [1_u8; 864];
    sbm.call(parse, (copy_in(&b"bytes"[..]),))?;
    sbm.call(take, (serve::<dyn Ids>(&mut Counter(0)), value(&Key(1))))?;
    sbm.call(write, (copy_out(&mut Tainted::zeroed()),))?;
    sbm.call(move || table.len(), ())?;
    Ok(())
}
