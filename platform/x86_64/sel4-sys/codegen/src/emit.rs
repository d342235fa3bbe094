// SPDX-License-Identifier: MIT OR Apache-2.0
//! Writes the Rust functions of invocations, and the modules of bitfields.
//!
//! An invocation becomes a function like this; scalars are words of which the bits that travel are kept, structures are
//! borrowed, results are words or a structure to fill:
//!
//! ```text
//! pub fn seL4_TCB_SetFlags(ipc: IpcBufferPtr, service: seL4_CPtr, clear: seL4_Word, set: seL4_Word)
//!     -> Result<seL4_Word, seL4_Word>
//! ```

use proc_macro2::{Ident, Literal, TokenStream};
use quote::{format_ident, quote};

use crate::{
    bitfield::Blocks,
    interface::{Method, Param},
    layout::{self, Kind, Place},
    types::Bindings,
};

/// Number of message words that travel in registers.
const FAST_WORDS: u32 = 4;

/// Writes a module per block, with a constant per field.
pub(crate) fn bitfields(blocks: &Blocks) -> TokenStream {
    let modules = blocks.iter().map(|(name, fields)| {
        let module = ident(name);
        let constants = fields.iter().map(|field| {
            let (name, shift, width) = (ident(&field.name), field.shift, field.width);
            quote!(pub const #name: Field = Field::new(#shift, #width);)
        });
        quote! {
            pub mod #module {
                use crate::Field;
                #(#constants)*
            }
        }
    });
    quote!(#(#modules)*)
}

/// A parameter with what its type says.
struct Typed<'a> {
    param: &'a Param,
    kind: Kind,
    name: Ident,
}

/// Writes the function of an invocation.
///
/// # Errors
/// One line that names the parameter that cannot be passed.
pub(crate) fn method(method: &Method, bindings: &Bindings) -> Result<TokenStream, String> {
    let typed = method
        .params
        .iter()
        .map(|param| {
            let kind = bindings
                .kind(&param.ty)
                .map_err(|ty| format!("`{}` takes a parameter of unknown type `{ty}`", method.name))?;
            Ok(Typed { param, kind, name: ident(&param.name) })
        })
        .collect::<Result<Vec<_>, String>>()?;
    let (outputs, inputs): (Vec<_>, Vec<_>) = typed.into_iter().partition(|typed| typed.param.output);
    let caps: Vec<_> = inputs.iter().filter(|typed| typed.kind == Kind::Cap).map(|typed| &typed.name).collect();
    let input_places = place(&inputs, &method.name)?;
    let output_places = place(&outputs, &method.name)?;
    // The kernel reads and writes as many registers as `count` says; only these travel.
    let count = inputs.iter().find(|typed| typed.param.name == "count").map(|typed| &typed.name);

    let name = ident(&method.name);
    let label = ident(&method.label);
    let doc = doc(method);
    let arguments = inputs.iter().chain(outputs.iter().filter(|typed| is_struct(typed))).map(argument);
    let marshal = Marshal::of(&inputs, &input_places, count, bindings)?;
    let (fast, buffered, length) = (marshal.fast, marshal.buffered, marshal.length);
    let set_caps = caps.iter().enumerate().map(|(index, cap)| {
        let index = Literal::usize_unsuffixed(index);
        quote!(ipc.set_cap(#index, #cap);)
    });
    let num_caps = Literal::u64_unsuffixed(caps.len() as u64);
    let (result_type, result) = results(&outputs, &output_places, count, bindings)?;

    Ok(quote! {
        #[doc = #doc]
        #[inline]
        pub fn #name(ipc: IpcBufferPtr, service: seL4_CPtr, #(#arguments),*) -> Result<#result_type, seL4_Word> {
            #(#set_caps)*
            #(#buffered)*
            let mrs = call(ipc, service, #label as seL4_Word, #num_caps, #length, [#(#fast),*])?;
            #result
        }
    })
}

fn is_struct(typed: &Typed<'_>) -> bool {
    matches!(typed.kind, Kind::Words(_))
}

fn place(params: &[Typed<'_>], method: &str) -> Result<Vec<Place>, String> {
    let kinds: Vec<_> = params.iter().map(|typed| typed.kind).collect();
    layout::places(&kinds)
        .map_err(|index| format!("`{method}` takes `{}`, which has an odd size", params[index].param.name))
}

fn argument(typed: &Typed<'_>) -> TokenStream {
    let name = &typed.name;
    let ty = ident(&typed.param.ty);
    match (typed.kind, typed.param.output) {
        (Kind::Cap, _) => quote!(#name: seL4_CPtr),
        (Kind::Bits(_), _) => quote!(#name: seL4_Word),
        (Kind::Words(_), false) => quote!(#name: &#ty),
        (Kind::Words(_), true) => quote!(#name: &mut #ty),
    }
}

/// How the words of a message are made.
struct Marshal {
    /// Expressions of the words in registers.
    fast: Vec<TokenStream>,
    /// Statements that set the others.
    buffered: Vec<TokenStream>,
    /// Expression of their number.
    length: TokenStream,
}

impl Marshal {
    fn of(inputs: &[Typed<'_>], places: &[Place], count: Option<&Ident>, bindings: &Bindings) -> Result<Self, String> {
        let words = layout::words(places);
        let mut fast = Vec::new();
        let mut buffered = Vec::new();
        for word in 0..words.max(FAST_WORDS) {
            let here: Vec<_> = places.iter().filter(|place| place.word == word).collect();
            let values =
                here.iter().map(|place| part(&inputs[place.param], place, bindings)).collect::<Result<Vec<_>, _>>()?;
            let value = if values.is_empty() { quote!(0) } else { quote!(#(#values)|*) };
            if word < FAST_WORDS {
                fast.push(value);
                continue;
            }
            let index = Literal::u32_unsuffixed(word);
            let statement = quote!(ipc.set_msg(#index, #value););
            let counted = here.iter().find(|place| is_struct(&inputs[place.param])).zip(count);
            buffered.push(match counted {
                Some((place, count)) => {
                    let part = place.part;
                    quote!(if #count > #part as seL4_Word { #statement })
                }
                None => statement,
            });
        }
        let structs: Vec<_> = inputs.iter().filter(|typed| is_struct(typed)).collect();
        let length = match (structs.as_slice(), count) {
            ([Typed { kind: Kind::Words(parts), .. }], Some(count)) => {
                let fixed = Literal::u32_unsuffixed(words - parts);
                let parts = Literal::u32_unsuffixed(*parts);
                quote!(#fixed + if #count < #parts { #count } else { #parts })
            }
            _ => {
                let words = Literal::u32_unsuffixed(words);
                quote!(#words)
            }
        };
        Ok(Self { fast, buffered, length })
    }
}

/// Writes the expression of one part of a parameter, at its place.
fn part(typed: &Typed<'_>, place: &Place, bindings: &Bindings) -> Result<TokenStream, String> {
    let name = &typed.name;
    let value = if is_struct(typed) {
        let member = member(typed, place.part, bindings)?;
        quote!(#name.#member)
    } else if place.bits < layout::WORD_BITS {
        let mask = Literal::u64_unsuffixed((1 << place.bits) - 1);
        quote!((#name & #mask))
    } else {
        quote!(#name)
    };
    if place.shift == 0 {
        return Ok(value);
    }
    let shift = Literal::u32_unsuffixed(place.shift);
    Ok(quote!((#value << #shift)))
}

/// Writes the type of the result and the expression that makes it of `mrs` and the IPC buffer.
fn results(
    outputs: &[Typed<'_>],
    places: &[Place],
    count: Option<&Ident>,
    bindings: &Bindings,
) -> Result<(TokenStream, TokenStream), String> {
    let mut statements = Vec::new();
    let mut values = Vec::new();
    for place in places {
        let typed = &outputs[place.param];
        let index = Literal::u32_unsuffixed(place.word);
        let word = if place.word < FAST_WORDS { quote!(mrs[#index]) } else { quote!(ipc.msg(#index)) };
        if is_struct(typed) {
            let (name, member, part) = (&typed.name, member(typed, place.part, bindings)?, place.part);
            let statement = quote!(#name.#member = #word;);
            statements.push(match count {
                Some(count) => quote!(if #count > #part as seL4_Word { #statement }),
                None => statement,
            });
        } else if place.bits < layout::WORD_BITS {
            let shift = Literal::u32_unsuffixed(place.shift);
            let mask = Literal::u64_unsuffixed((1 << place.bits) - 1);
            values.push(quote!((#word >> #shift) & #mask));
        } else {
            values.push(word);
        }
    }
    let unused = if places.is_empty() { quote!(let _ = mrs;) } else { quote!() };
    let (ty, value) = match values.as_slice() {
        [value] => (quote!(seL4_Word), quote!(#value)),
        values => {
            let types = values.iter().map(|_| quote!(seL4_Word));
            (quote!((#(#types),*)), quote!((#(#values),*)))
        }
    };
    Ok((ty, quote!(#unused #(#statements)* Ok(#value))))
}

fn member(typed: &Typed<'_>, part: u32, bindings: &Bindings) -> Result<Ident, String> {
    bindings
        .members(&typed.param.ty)
        .and_then(|mut members| members.nth(part as usize))
        .map(ident)
        .ok_or_else(|| format!("`{}` has no member {part}", typed.param.ty))
}

fn doc(method: &Method) -> String {
    let brief = method.brief.as_deref().unwrap_or("Makes the invocation");
    // Brackets in the kernel's text are no links.
    let brief = brief.replace('[', "\\[").replace(']', "\\]").replace('<', "\\<");
    format!(" {}: `{}`.", brief.trim_end_matches('.'), method.label)
}

/// Makes an identifier, raw where the name is a word of Rust.
fn ident(name: &str) -> Ident {
    syn::parse_str::<Ident>(name).unwrap_or_else(|_| format_ident!("r#{}", name))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::bitfield::Field;

    const TYPES: &str = "pub type seL4_Word = ::core::ffi::c_ulong;
        pub type seL4_CPtr = seL4_Word;
        pub type seL4_Uint8 = ::core::ffi::c_uchar;
        pub struct Context { pub a: seL4_Word, pub b: seL4_Word, pub c: seL4_Word, pub d: seL4_Word }";

    fn write(params: &[(&str, &str, bool)]) -> Result<String, String> {
        let params = params.iter().map(|&(name, ty, output)| Param { name: name.into(), ty: ty.into(), output });
        let subject = Method {
            name: "seL4_X_Go".into(),
            label: "XGo".into(),
            condition: None,
            brief: None,
            params: params.collect(),
        };
        let tokens = method(&subject, &Bindings::of(&syn::parse_str(TYPES).unwrap()))?;
        Ok(prettyplease::unparse(&syn::parse2(tokens).unwrap()))
    }

    #[test]
    fn an_invocation_without_parameters_is_a_call() {
        assert_eq!(
            write(&[]).unwrap(),
            "/// Makes the invocation: `XGo`.
#[inline]
pub fn seL4_X_Go(ipc: IpcBufferPtr, service: seL4_CPtr) -> Result<(), seL4_Word> {
    let mrs = call(ipc, service, XGo as seL4_Word, 0, 0, [0, 0, 0, 0])?;
    let _ = mrs;
    Ok(())
}
"
        );
    }

    #[test]
    fn parameters_are_packed_and_capabilities_set_apart() {
        let text = write(&[
            ("type", "seL4_Uint8", false),
            ("root", "seL4_CPtr", false),
            ("depth", "seL4_Uint8", false),
            ("data", "seL4_Word", false),
            ("out", "seL4_Uint8", true),
        ])
        .unwrap();
        assert!(text.contains("ipc.set_cap(0, root);"), "{text}");
        assert!(text.contains("[(r#type & 255) | ((depth & 255) << 8), data, 0, 0]"), "{text}");
        assert!(text.contains("XGo as seL4_Word,\n        1,\n        2,"), "{text}");
        assert!(text.contains("Ok((mrs[0] >> 0) & 255)"), "{text}");
    }

    #[test]
    fn as_many_registers_travel_as_are_counted() {
        let text = write(&[("flags", "seL4_Uint8", false), ("count", "seL4_Word", false), ("regs", "Context", false)])
            .unwrap();
        assert!(text.contains("regs: &Context"), "{text}");
        assert!(text.contains("2 + if count < 4 { count } else { 4 }"), "{text}");
        assert!(text.contains("[(flags & 255), count, regs.a, regs.b]"), "{text}");
        assert!(text.contains("if count > 2u32 as seL4_Word {\n        ipc.set_msg(4, regs.c);"), "{text}");
    }

    #[test]
    fn structures_are_filled() {
        let text = write(&[("count", "seL4_Word", false), ("regs", "Context", true)]).unwrap();
        assert!(text.contains("regs: &mut Context"), "{text}");
        assert!(text.contains("if count > 3u32 as seL4_Word {\n        regs.d = mrs[3];"), "{text}");
        assert!(text.ends_with("Ok(())\n}\n"), "{text}");
    }

    #[test]
    fn unknown_types_are_errors() {
        assert_eq!(
            write(&[("x", "mystery", false)]),
            Err("`seL4_X_Go` takes a parameter of unknown type `mystery`".into())
        );
    }

    #[test]
    fn bitfields_become_constants() {
        let blocks = Blocks::from([("B".into(), vec![Field { name: "f".into(), shift: 3, width: 4 }])]);
        let tokens = bitfields(&blocks).to_string();
        assert!(tokens.contains("pub const f : Field = Field :: new (3u32 , 4u32) ;"), "{tokens}");
    }
}
