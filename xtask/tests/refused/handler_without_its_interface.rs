// SPDX-License-Identifier: MIT OR Apache-2.0
//! A handler that is passed as itself.
// says: `Counter` is not a service
// says: name the interface: `serve::<dyn Trait>(&mut handler)`
use sbm::{Error, Proxy, Sbm, serve};

#[sbm::service]
trait Ids {
    fn next(&mut self) -> u32;
}

struct Counter(u32);

impl Ids for Counter {
    fn next(&mut self) -> u32 {
        self.0 += 1;
        self.0
    }
}

fn take(mut ids: Proxy<dyn Ids>) -> u32 {
    ids.next()
}

fn main() -> Result<(), Error> {
    Sbm::new()?.call(take, (serve(&mut Counter(0)),))?;
    Ok(())
}
