// SPDX-License-Identifier: MIT OR Apache-2.0
//! `#[sbm::service]`: the two ends of a declared interface.
//!
//! The trait stays as it is written. Beside it come `impl Trait for sbm::Proxy<dyn Trait>`, which asks, and
//! `impl sbm::Service for dyn Trait`, which decodes what was asked and calls the handler's method.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{
    Error, FnArg, Ident, ItemTrait, Pat, Receiver, Result, ReturnType, Signature, TraitItem, TraitItemFn, Type,
    TypeReference, spanned::Spanned as _,
};

/// How an argument travels.
enum Way {
    /// By serde, as a value of its own.
    Value(Type),
    /// By serde, as a value that the method borrows.
    Borrowed(Type),
    /// As text, borrowed from the message.
    Text,
    /// As bytes, borrowed from the message.
    Bytes,
    /// As bytes that the handler fills.
    Room,
}

struct Method<'t> {
    signature: &'t Signature,
    arguments: Vec<(Ident, Way)>,
}

pub(crate) fn expand(item: &ItemTrait) -> Result<TokenStream> {
    if !item.generics.params.is_empty() {
        return Err(Error::new(item.generics.span(), "a service has no parameters: its requests are bytes"));
    }
    if !item.supertraits.is_empty() {
        return Err(Error::new(item.supertraits.span(), "a service stands for itself: the proxy has no other traits"));
    }
    let mut methods = Vec::new();
    for member in &item.items {
        match member {
            // With a body it is made of the others, and runs where it is called.
            TraitItem::Fn(TraitItemFn { default: Some(_), .. }) => {}
            TraitItem::Fn(method) => methods.push(Method::new(&method.sig)?),
            other => return Err(Error::new(other.span(), "a service has methods and nothing else")),
        }
    }
    let name = &item.ident;
    let asks = methods.iter().zip(0_u16..).map(|(method, number)| method.ask(number));
    let answers = methods.iter().zip(0_u16..).map(|(method, number)| method.answer(name, number));
    Ok(quote! {
        #item

        impl #name for ::sbm::Proxy<dyn #name> {
            #(#asks)*
        }

        impl<'handler> ::sbm::Service for dyn #name + 'handler {
            type Interface = dyn #name;

            fn answer<'request>(
                &mut self,
                request: ::sbm::Request<'request>,
            ) -> ::core::result::Result<::sbm::Answer, ::sbm::Error> {
                match request.method() {
                    #(#answers)*
                    _ => request.refuse(),
                }
            }
        }
    })
}

impl<'t> Method<'t> {
    fn new(signature: &'t Signature) -> Result<Self> {
        let refuse = |span, why| Err(Error::new(span, why));
        if !signature.generics.params.is_empty() {
            return refuse(
                signature.generics.span(),
                "a request has no parameters: name the types, and leave lifetimes out",
            );
        }
        if let Some(word) = &signature.asyncness {
            return refuse(word.span(), "a request is a call: the function waits for its answer");
        }
        if !matches!(signature.receiver(), Some(Receiver { reference: Some(_), .. })) {
            return refuse(signature.span(), "a request begins with `&mut self` or `&self`");
        }
        if let ReturnType::Type(_, kind) = &signature.output {
            no_reference(kind, "an answer is copied: return a value, or let the caller pass `&mut [u8]`")?;
        }
        let mut arguments = Vec::new();
        for input in signature.inputs.iter().skip(1) {
            let FnArg::Typed(input) = input else { continue };
            let Pat::Ident(name) = &*input.pat else { return refuse(input.pat.span(), "an argument has a name") };
            arguments.push((name.ident.clone(), Way::of(&input.ty)?));
        }
        if arguments.iter().filter(|(_, way)| matches!(way, Way::Room)).count() > 1 {
            return refuse(
                signature.inputs.span(),
                "a request fills one `&mut [u8]`: ask twice, or once for both in one",
            );
        }
        Ok(Self { signature, arguments })
    }

    /// The proxy's side.
    fn ask(&self, number: u16) -> TokenStream {
        let signature = self.signature;
        let sent = self.arguments.iter().filter_map(|(name, way)| match way {
            Way::Room => None,
            Way::Bytes => Some(quote!(::sbm::Bytes(#name))),
            _ => Some(quote!(#name)),
        });
        let room = self.arguments.iter().find(|(_, way)| matches!(way, Way::Room));
        let room = room.map_or(quote!(&mut []), |(name, _)| quote!(#name));
        quote! {
            #signature {
                ::sbm::Proxy::ask(self, #number, &(#(#sent,)*), #room)
            }
        }
    }

    /// The handler's side.
    fn answer(&self, service: &Ident, number: u16) -> TokenStream {
        let method = &self.signature.ident;
        let received = || self.arguments.iter().filter(|(_, way)| !matches!(way, Way::Room));
        let types = received().map(|(_, way)| match way {
            Way::Value(kind) | Way::Borrowed(kind) => quote!(#kind),
            Way::Text => quote!(&'request ::core::primitive::str),
            Way::Bytes | Way::Room => quote!(&'request [::core::primitive::u8]),
        });
        let names = received().map(|(name, _)| name);
        let passed = self.arguments.iter().map(|(name, way)| match way {
            Way::Borrowed(_) => quote!(&#name),
            _ => quote!(#name),
        });
        let room = self.arguments.iter().find(|(_, way)| matches!(way, Way::Room));
        let (answer, room) = match room {
            Some((name, _)) => (format_ident!("answer_into"), quote!(, #name: &'request mut [::core::primitive::u8])),
            None => (format_ident!("answer"), quote!()),
        };
        quote! {
            #number => request.#answer(|(#(#names,)*): (#(#types,)*) #room| {
                #service::#method(self, #(#passed),*)
            }),
        }
    }
}

impl Way {
    fn of(kind: &Type) -> Result<Self> {
        let Type::Reference(TypeReference { elem, mutability, lifetime, .. }) = kind else {
            no_reference(kind, "a reference within another type cannot travel: pass what it refers to")?;
            return Ok(Self::Value(kind.clone()));
        };
        if let Some(lifetime) = lifetime {
            return Err(Error::new(
                lifetime.span(),
                "an argument lives as long as its request: leave the lifetime out",
            ));
        }
        let is = |name| matches!(&**elem, Type::Path(path) if path.path.is_ident(name));
        let bytes = matches!(&**elem, Type::Slice(slice) if matches!(&*slice.elem, Type::Path(path) if path.path.is_ident("u8")));
        match (mutability, bytes) {
            (Some(_), true) => Ok(Self::Room),
            (Some(_), false) => {
                let why = "what a handler changes does not come back, but for `&mut [u8]`: return it";
                Err(Error::new(kind.span(), why))
            }
            (None, true) => Ok(Self::Bytes),
            (None, false) if is("str") => Ok(Self::Text),
            (None, false) if matches!(&**elem, Type::Slice(_) | Type::TraitObject(_)) => {
                let why = "of slices only `&[u8]` travels: pass an array, a `heapless::Vec` or a `Vec`";
                Err(Error::new(kind.span(), why))
            }
            (None, false) => {
                no_reference(elem, "a reference within another type cannot travel: pass what it refers to")?;
                Ok(Self::Borrowed((**elem).clone()))
            }
        }
    }
}

/// Refuses a type in which there is a reference, a parameter or something of no known size.
fn no_reference(kind: &Type, why: &str) -> Result<()> {
    let refused = match kind {
        Type::Reference(_) | Type::Ptr(_) | Type::ImplTrait(_) | Type::TraitObject(_) | Type::Slice(_) => true,
        _ => quote!(#kind).to_string().contains(['&', '\'']),
    };
    if refused { Err(Error::new(kind.span(), why)) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use syn::parse_quote;

    fn refusal(item: &ItemTrait) -> String {
        expand(item).unwrap_err().to_string()
    }

    #[test]
    fn each_argument_travels_in_its_way() {
        let text = expand(&parse_quote! {
            trait Store {
                fn get(&mut self, name: &str, key: &Key, at: u64, data: &[u8], into: &mut [u8]) -> Result<u32, Why>;
                fn twice(&mut self) -> u32 { 2 }
                fn end(&self);
            }
        });
        let text = text.unwrap().to_string();
        assert!(
            text.contains("Proxy :: ask (self , 0u16 , & (name , key , at , :: sbm :: Bytes (data) ,) , into)"),
            "{text}"
        );
        assert!(text.contains("Store :: get (self , name , & key , at , data , into)"), "{text}");
        assert!(text.contains("Proxy :: ask (self , 1u16 , & () , & mut [])"), "{text}");
        assert!(!text.contains("Store :: twice"), "{text}");
    }

    #[test]
    fn what_cannot_travel_is_refused_with_what_to_do() {
        assert!(refusal(&parse_quote! { trait S<T> { fn f(&self); } }).contains("no parameters"));
        assert!(refusal(&parse_quote! { trait S: Clone { fn f(&self); } }).contains("stands for itself"));
        assert!(refusal(&parse_quote! { trait S { const N: u8; } }).contains("methods and nothing else"));
        assert!(refusal(&parse_quote! { trait S { fn f<T>(&self, t: T); } }).contains("name the types"));
        assert!(refusal(&parse_quote! { trait S { fn f<'a>(&self, t: &'a str); } }).contains("leave lifetimes out"));
        assert!(refusal(&parse_quote! { trait S { async fn f(&self); } }).contains("waits for its answer"));
        assert!(refusal(&parse_quote! { trait S { fn f(self); } }).contains("`&mut self` or `&self`"));
        assert!(refusal(&parse_quote! { trait S { fn f(); } }).contains("`&mut self` or `&self`"));
        assert!(refusal(&parse_quote! { trait S { fn f(&self) -> &str; } }).contains("return a value"));
        assert!(refusal(&parse_quote! { trait S { fn f(&self) -> Option<&'static str>; } }).contains("return a value"));
        assert!(refusal(&parse_quote! { trait S { fn f(&self, a: &mut u32); } }).contains("return it"));
        assert!(refusal(&parse_quote! { trait S { fn f(&self, a: &[u32]); } }).contains("of slices only"));
        assert!(
            refusal(&parse_quote! { trait S { fn f(&self, a: Option<&u32>); } }).contains("pass what it refers to")
        );
        assert!(refusal(&parse_quote! { trait S { fn f(&self, a: impl Copy); } }).contains("pass what it refers to"));
        assert!(refusal(&parse_quote! { trait S { fn f(&self, a: &mut [u8], b: &mut [u8]); } }).contains("ask twice"));
    }
}
