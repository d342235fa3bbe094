// SPDX-License-Identifier: MIT OR Apache-2.0
//! The macros of the client library, which re-exports them: see there.
#![forbid(unsafe_code)]

mod pod;

use proc_macro::TokenStream;

/// Says of a struct that it is plain data, so that it can be copied as an argument: `sbm::Pod` and `sbm::Zeroable`.
///
/// The struct is `Copy`, has `#[repr(C)]` or `#[repr(transparent)]`, consists of plain data, and has no padding.
#[proc_macro_derive(Pod)]
pub fn pod(item: TokenStream) -> TokenStream {
    let item = syn::parse_macro_input!(item as syn::DeriveInput);
    pod::derive(&item).unwrap_or_else(syn::Error::into_compile_error).into()
}
