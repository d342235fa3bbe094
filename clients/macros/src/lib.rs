// SPDX-License-Identifier: MIT OR Apache-2.0
//! The macros of the client library, which re-exports them: see there.
#![forbid(unsafe_code)]

mod pod;
mod service;

use proc_macro::TokenStream;

/// Says of a struct that it is plain data, so that it can be copied as an argument: `sbm::Pod` and `sbm::Zeroable`.
///
/// The struct is `Copy`, has `#[repr(C)]` or `#[repr(transparent)]`, consists of plain data, and has no padding.
#[proc_macro_derive(Pod)]
pub fn pod(item: TokenStream) -> TokenStream {
    let item = syn::parse_macro_input!(item as syn::DeriveInput);
    pod::derive(&item).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Declares a service: what a function in a sandbox can ask its caller for.
///
/// It stands on a trait whose methods take `&self` or `&mut self`, values that serde knows, `&str`, `&[u8]`, references to
/// values, and at most one `&mut [u8]` that the handler fills; they return a value that serde knows. The caller passes a
/// handler that implements the trait, by `sbm::serve::<dyn Trait>(&mut handler)`, and the function takes a
/// `sbm::Proxy<dyn Trait>`, which implements it as well. Methods with a body run where they are called.
#[proc_macro_attribute]
pub fn service(_: TokenStream, item: TokenStream) -> TokenStream {
    let item = syn::parse_macro_input!(item as syn::ItemTrait);
    service::expand(&item).unwrap_or_else(syn::Error::into_compile_error).into()
}
