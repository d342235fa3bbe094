// SPDX-License-Identifier: MIT OR Apache-2.0
//! The root_task attribute.

use proc_macro::{TokenStream, TokenTree};

/// Marks the function with which a root task starts.
///
/// It takes `&sel4::BootInfoPtr`, and returns what implements `sel4_root_task::Termination`: `!`, `()`, or a `Result` of
/// these with an error that implements `Debug`. `#[root_task(stack_size = N)]` sets the number of bytes of its stack, a
/// multiple of 4096.
#[proc_macro_attribute]
pub fn root_task(attributes: TokenStream, item: TokenStream) -> TokenStream {
    let Some(name) = function_name(item.clone()) else {
        return error("`#[root_task]` stands before a function");
    };
    let arguments = if attributes.is_empty() { String::new() } else { format!(", {attributes}") };
    let declaration = format!("::sel4_root_task::declare_root_task!(main = {name}{arguments});");
    match declaration.parse::<TokenStream>() {
        Ok(declaration) => [item, declaration].into_iter().collect(),
        Err(_) => error("`#[root_task]` takes `stack_size = N` or nothing"),
    }
}

/// Returns what follows the first `fn`.
fn function_name(item: TokenStream) -> Option<String> {
    let mut tokens = item.into_iter().skip_while(|token| !is_fn(token));
    match (tokens.next(), tokens.next()) {
        (Some(_), Some(TokenTree::Ident(name))) => Some(name.to_string()),
        _ => None,
    }
}

fn is_fn(token: &TokenTree) -> bool {
    matches!(token, TokenTree::Ident(word) if word.to_string() == "fn")
}

fn error(message: &str) -> TokenStream {
    format!("::core::compile_error!({message:?});").parse().unwrap_or_default()
}
