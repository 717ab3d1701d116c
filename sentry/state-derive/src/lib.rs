//! `#[derive(Save, Load)]`; the attributes are described in the crate `state`.
#![forbid(unsafe_code)]

mod attributes;
mod fields;
mod load;
mod save;
mod shape;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

use shape::Shape;

/// Implements `state::Save`, `state::Schema` and `state::live::Counted`.
#[proc_macro_derive(Save, attributes(state))]
pub fn derive_save(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    let code = Shape::of(&input).map(|shape| save::expand(&shape));
    code.unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Implements `state::Load`.
#[proc_macro_derive(Load, attributes(state))]
pub fn derive_load(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    let code = Shape::of(&input).map(|shape| load::expand(&shape));
    code.unwrap_or_else(syn::Error::into_compile_error).into()
}
