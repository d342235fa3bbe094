// SPDX-License-Identifier: MIT OR Apache-2.0
//! What bindgen found out about the C types, as far as invocations need it.

use std::collections::{BTreeMap, BTreeSet};

use syn::{Expr, Fields, Item, Type};

use crate::layout::{Kind, WORD_BITS};

/// The types and constants of a file that bindgen wrote.
#[derive(Debug, Default)]
pub(crate) struct Bindings {
    aliases: BTreeMap<String, String>,
    structs: BTreeMap<String, Vec<Member>>,
    constants: BTreeSet<String>,
}

/// A member of a structure.
#[derive(Debug)]
struct Member {
    name: String,
    /// Last segment of the type's path; none for arrays and pointers.
    ty: Option<String>,
}

impl Bindings {
    /// Collects what a file declares.
    pub(crate) fn of(file: &syn::File) -> Self {
        let mut bindings = Self::default();
        for item in &file.items {
            match item {
                Item::Type(alias) => {
                    if let Some(target) = last_segment(&alias.ty) {
                        bindings.aliases.insert(alias.ident.to_string(), target);
                    }
                }
                Item::Struct(item) => {
                    if let Fields::Named(fields) = &item.fields {
                        let members = fields.named.iter().filter_map(|field| {
                            field
                                .ident
                                .as_ref()
                                .map(|name| Member { name: name.to_string(), ty: last_segment(&field.ty) })
                        });
                        bindings.structs.insert(item.ident.to_string(), members.collect());
                    }
                }
                // A block is a check of a layout, and has no name.
                Item::Const(item) if !matches!(*item.expr, Expr::Block(_)) => {
                    bindings.constants.insert(item.ident.to_string());
                }
                _ => {}
            }
        }
        bindings
    }

    /// Says whether there is a constant, or a value of an enumeration, of this name.
    pub(crate) fn has_constant(&self, name: &str) -> bool {
        self.constants.contains(name)
    }

    /// Returns the names of all constants.
    pub(crate) fn constants(&self) -> &BTreeSet<String> {
        &self.constants
    }

    /// Returns the names of the members of a structure.
    pub(crate) fn members(&self, name: &str) -> Option<impl Iterator<Item = &str>> {
        Some(self.structs.get(*self.resolve(name).last()?)?.iter().map(|member| member.name.as_str()))
    }

    /// Says how a parameter of a C type travels.
    ///
    /// # Errors
    /// The name of a type that is none of those that invocations are known to take.
    pub(crate) fn kind(&self, ty: &str) -> Result<Kind, String> {
        // The kernel's generator packs truth values into a bit, though C gives them a byte.
        if ty == "seL4_Bool" {
            return Ok(Kind::Bits(1));
        }
        let names = self.resolve(ty);
        if names.contains(&"seL4_CPtr") {
            return Ok(Kind::Cap);
        }
        let last = names.last().copied().unwrap_or(ty);
        if let Some(bits) = bits_of_c_type(last) {
            return Ok(Kind::Bits(bits));
        }
        match self.structs.get(last).map(Vec::as_slice) {
            // What the bitfield generator makes: an array of words; those that are passed have one.
            Some([member]) if member.name == "words" => Ok(Kind::Bits(WORD_BITS)),
            Some(members) if members.iter().all(|member| member.ty.as_deref().is_some_and(|ty| self.is_word(ty))) => {
                u32::try_from(members.len()).map(Kind::Words).map_err(|_| ty.into())
            }
            _ => Err(ty.into()),
        }
    }

    fn is_word(&self, ty: &str) -> bool {
        self.resolve(ty).last().and_then(|last| bits_of_c_type(last)) == Some(WORD_BITS)
    }

    /// Follows aliases, and returns all names on the way.
    fn resolve<'a>(&'a self, name: &'a str) -> Vec<&'a str> {
        let mut names = vec![name];
        while let Some(next) = names.last().and_then(|last| self.aliases.get(*last)) {
            if names.contains(&next.as_str()) {
                break;
            }
            names.push(next);
        }
        names
    }
}

/// Returns the size of a C type on x86-64, by the name that C or Rust's `core::ffi` has for it.
fn bits_of_c_type(name: &str) -> Option<u32> {
    match name {
        "c_char" | "c_schar" | "c_uchar" | "u8" | "i8" => Some(8),
        "c_short" | "c_ushort" | "u16" | "i16" => Some(16),
        "int" | "c_int" | "c_uint" | "u32" | "i32" => Some(32),
        "long" | "c_long" | "c_ulong" | "c_longlong" | "c_ulonglong" | "u64" | "i64" => Some(64),
        _ => None,
    }
}

fn last_segment(ty: &Type) -> Option<String> {
    match ty {
        Type::Path(path) => path.path.segments.last().map(|segment| segment.ident.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn bindings() -> Bindings {
        Bindings::of(
            &syn::parse_str(
                "pub type seL4_Uint64 = ::core::ffi::c_ulong;
                 pub type seL4_Word = seL4_Uint64;
                 pub type seL4_CPtr = seL4_Word;
                 pub type seL4_TCB = seL4_CPtr;
                 pub type seL4_Bool = ::core::ffi::c_schar;
                 pub type seL4_Attr = ::core::ffi::c_uint;
                 pub type loop_a = loop_b;
                 pub type loop_b = loop_a;
                 pub struct seL4_Rights { pub words: [u64; 1usize] }
                 pub type seL4_Rights_t = seL4_Rights;
                 pub struct Context_ { pub a: seL4_Word, pub b: seL4_Word }
                 pub type Context = Context_;
                 pub struct Mixed { pub a: seL4_Word, pub b: seL4_Attr }
                 pub const seL4_NoError: seL4_Attr = 0;",
            )
            .unwrap(),
        )
    }

    #[test]
    fn kinds_follow_the_c_types() {
        let bindings = bindings();
        assert_eq!(bindings.kind("seL4_TCB"), Ok(Kind::Cap));
        assert_eq!(bindings.kind("seL4_CPtr"), Ok(Kind::Cap));
        assert_eq!(bindings.kind("seL4_Word"), Ok(Kind::Bits(64)));
        assert_eq!(bindings.kind("seL4_Attr"), Ok(Kind::Bits(32)));
        assert_eq!(bindings.kind("int"), Ok(Kind::Bits(32)));
        assert_eq!(bindings.kind("seL4_Bool"), Ok(Kind::Bits(1)));
        assert_eq!(bindings.kind("seL4_Rights_t"), Ok(Kind::Bits(64)));
        assert_eq!(bindings.kind("Context"), Ok(Kind::Words(2)));
    }

    #[test]
    fn other_types_are_errors() {
        let bindings = bindings();
        assert_eq!(bindings.kind("Mixed"), Err("Mixed".into()));
        assert_eq!(bindings.kind("unheard_of"), Err("unheard_of".into()));
        assert_eq!(bindings.kind("loop_a"), Err("loop_a".into()));
    }

    #[test]
    fn knows_constants_and_members() {
        let bindings = bindings();
        assert!(bindings.has_constant("seL4_NoError"));
        assert!(!bindings.has_constant("seL4_Error"));
        assert_eq!(bindings.members("Context").unwrap().collect::<Vec<_>>(), ["a", "b"]);
        assert!(bindings.members("seL4_Word").is_none());
    }
}
