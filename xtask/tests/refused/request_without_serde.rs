// SPDX-License-Identifier: MIT OR Apache-2.0
//! A request whose argument serde does not know.
// says: consider adding `#[derive(serde::Serialize)]` to your `Key` type
// says: consider adding `#[derive(serde::Deserialize)]` to your `Key` type
struct Key(u32);

#[sbm::service]
trait Keys {
    fn is_known(&mut self, key: Key) -> bool;
}

fn main() {}
