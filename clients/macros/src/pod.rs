// SPDX-License-Identifier: MIT OR Apache-2.0
//! `#[derive(sbm::Pod)]`.
//!
//! bytemuck's own derive names its crate in what it generates, which a client of ours does not depend on.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Error, Meta, Result, Token, punctuated::Punctuated, spanned::Spanned as _};

pub(crate) fn derive(item: &DeriveInput) -> Result<TokenStream> {
    let Data::Struct(data) = &item.data else {
        let why = "plain data is a struct: of an enum or a union not every byte is a value; pass it by `sbm::value`";
        return Err(Error::new(item.ident.span(), why));
    };
    if !item.generics.params.is_empty() {
        let why = "a struct with parameters is not plain data for all of them: implement it for those that you use";
        return Err(Error::new(item.generics.span(), why));
    }
    if !has_fixed_layout(item)? {
        let why = "plain data has a layout of its own choice: write `#[repr(C)]` on it";
        return Err(Error::new(item.ident.span(), why));
    }
    let (name, fields) = (&item.ident, data.fields.iter().map(|field| &field.ty).collect::<Vec<_>>());
    Ok(quote! {
        const _: () = {
            const fn plain<T: ::sbm::Pod>() {}
            #(plain::<#fields>();)*
            ::core::assert!(
                ::core::mem::size_of::<#name>() == 0 #(+ ::core::mem::size_of::<#fields>())*,
                "plain data has no padding: add fields that fill it, or put the larger ones first",
            );
        };
        // SAFETY: every field is plain data, and there is nothing between them, as is asserted above.
        unsafe impl ::sbm::Zeroable for #name {}
        // SAFETY: as above; the layout is fixed.
        unsafe impl ::sbm::Pod for #name {}
    })
}

/// Tells whether the layout of a struct is fixed by `repr(C)` or `repr(transparent)`.
fn has_fixed_layout(item: &DeriveInput) -> Result<bool> {
    for attribute in item.attrs.iter().filter(|attribute| attribute.path().is_ident("repr")) {
        let words = attribute.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated)?;
        if words.iter().any(|word| word.path().is_ident("C") || word.path().is_ident("transparent")) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use syn::parse_quote;

    fn refusal(item: &DeriveInput) -> String {
        derive(item).unwrap_err().to_string()
    }

    #[test]
    fn a_struct_with_a_fixed_layout_is_plain_data() {
        for item in [
            parse_quote! { #[repr(C)] struct Key { id: u64, length: u32, kind: u32 } },
            parse_quote! { #[derive(Clone)] #[repr(transparent)] struct Id(u64); },
            parse_quote! { #[repr(C, packed)] struct Odd { a: u8, b: u64 } },
        ] {
            assert!(derive(&item).unwrap().to_string().contains("unsafe impl :: sbm :: Pod for"));
        }
    }

    #[test]
    fn everything_else_is_refused_with_what_to_do() {
        assert!(refusal(&parse_quote! { struct Key { id: u64 } }).contains("write `#[repr(C)]`"));
        assert!(refusal(&parse_quote! { #[repr(align(8))] struct Key { id: u64 } }).contains("write `#[repr(C)]`"));
        assert!(refusal(&parse_quote! { #[repr(C)] enum Key { One } }).contains("by `sbm::value`"));
        assert!(refusal(&parse_quote! { #[repr(C)] struct Key<T> { id: T } }).contains("parameters"));
    }
}
