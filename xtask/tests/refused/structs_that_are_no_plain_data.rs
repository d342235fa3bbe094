// SPDX-License-Identifier: MIT OR Apache-2.0
//! Plain data with padding, without a fixed layout, and of another kind.
// says: plain data has no padding: add fields that fill it, or put the larger ones first
// says: write `#[repr(C)]` on it
// says: of an enum or a union not every byte is a value; pass it by `sbm::value`
// says: the trait `Pod` is not implemented for `bool`
use sbm::Pod;

#[derive(Clone, Copy, Pod)]
#[repr(C)]
struct Padded {
    kind: u8,
    length: u32,
}

#[derive(Clone, Copy, Pod)]
struct Loose {
    length: u32,
}

#[derive(Clone, Copy, Pod)]
#[repr(u8)]
enum Kind {
    One,
}

#[derive(Clone, Copy, Pod)]
#[repr(C)]
struct Holds {
    flag: bool,
}

fn main() {}
