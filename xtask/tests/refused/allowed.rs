// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the others do, in the way that is allowed.
use sbm::{Arguments, Error, Function, Pod, Proxy, Sbm, Tainted, copy_in, copy_out, serve, value};
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

fn keys(bytes: &[u8], at_most: u64) -> Vec<Key> {
    bytes.iter().map(|byte| Key(u32::from(*byte))).take(at_most as usize).collect()
}

fn call_twice<A: Arguments, F: Function<A>>(function: F, first: A, second: A) -> Result<Tainted<F::Output>, Error> {
    let mut sbm = Sbm::new()?;
    sbm.call(function, first)?;
    sbm.call(function, second)
}

fn main() -> Result<(), Error> {
    let mut sbm = Sbm::new()?;
    let table = [1_u8; 864];
    sbm.call(parse, (copy_in(&b"bytes"[..]),))?;
    sbm.call(take, (serve::<dyn Ids>(&mut Counter(0)), value(&Key(1))))?;
    sbm.call(write, (copy_out(&mut Tainted::zeroed()),))?;
    sbm.call(move || table.len(), ())?;
    sbm.call(keys, (copy_in(&b"bytes"[..]), 7_u64))?;
    sbm.call(|array: &[u8; 5], number: usize| array.len() + number, (copy_in(b"bytes"), 7_usize))?;
    sbm.call(|bytes: &mut [u8]| bytes.fill(1), (copy_out(&mut [0_u8; 5][..]),))?;
    sbm.call(|text: &str| text.len(), (String::from("text").as_str(),))?;
    call_twice(|number| number + 1, (7,), (8,))?;
    Ok(())
}
