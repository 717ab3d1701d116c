//! What the derives know of a type: variants (a struct is one) with fields.

use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens as _, quote};
use syn::ext::IdentExt as _;
use syn::{Data, DeriveInput, Error, Generics, Path, Result};

use crate::attributes::{OnType, on_variant};
use crate::fields::Field;

/// A struct or an enum.
pub(crate) struct Shape<'a> {
    pub(crate) ident: &'a Ident,
    pub(crate) generics: &'a Generics,
    /// Its name in images.
    pub(crate) name: String,
    pub(crate) after_load: Option<Path>,
    pub(crate) is_enum: bool,
    pub(crate) variants: Vec<Variant<'a>>,
}

/// One variant, or the whole struct.
pub(crate) struct Variant<'a> {
    /// Its number in images.
    pub(crate) tag: u64,
    /// Empty for a struct.
    pub(crate) name: String,
    pub(crate) since: Option<u32>,
    /// `Self` or `Self::Variant`.
    pub(crate) path: TokenStream,
    pub(crate) fields: Vec<Field<'a>>,
}

impl<'a> Shape<'a> {
    pub(crate) fn of(input: &'a DeriveInput) -> Result<Self> {
        let attributes = OnType::parse(&input.attrs)?;
        let ident = &input.ident;
        let rust_name = ident.unraw().to_string();
        let variants = match &input.data {
            Data::Struct(data) => vec![Variant {
                tag: 0,
                name: String::new(),
                since: None,
                path: quote!(Self),
                fields: Field::all(&data.fields, &rust_name)?,
            }],
            Data::Enum(data) => variants(data, &rust_name)?,
            Data::Union(_) => return Err(Error::new_spanned(ident, "a union can't be saved")),
        };
        if variants.is_empty() {
            return Err(Error::new_spanned(ident, "an enum without variants has no values"));
        }
        Ok(Self {
            ident,
            generics: &input.generics,
            name: attributes.name.unwrap_or(rust_name),
            after_load: attributes.after_load,
            is_enum: matches!(input.data, Data::Enum(_)),
            variants,
        })
    }

    /// The generics with `bound` on each type parameter.
    pub(crate) fn bounded(&self, bound: &TokenStream) -> Generics {
        let mut generics = self.generics.clone();
        for parameter in generics.type_params_mut() {
            parameter.bounds.push(syn::parse_quote!(#bound));
        }
        generics
    }
}

/// Variants are numbered by position, so new ones stand at the end.
fn variants<'a>(data: &'a syn::DataEnum, type_name: &str) -> Result<Vec<Variant<'a>>> {
    let mut newest = 0;
    let mut all = Vec::new();
    for (tag, variant) in (0..).zip(&data.variants) {
        let since = on_variant(&variant.attrs)?;
        if since.unwrap_or(0) < newest {
            let message = "variants are numbered by position: the newest stand last";
            return Err(Error::new_spanned(variant, message));
        }
        newest = since.unwrap_or(0);
        let ident = &variant.ident;
        let name = ident.unraw().to_string();
        all.push(Variant {
            tag,
            since,
            path: quote!(Self::#ident).into_token_stream(),
            fields: Field::all(&variant.fields, &format!("{type_name}::{name}"))?,
            name,
        });
    }
    Ok(all)
}

impl Variant<'_> {
    /// A pattern that binds the saved fields by reference.
    pub(crate) fn pattern(&self) -> TokenStream {
        let path = &self.path;
        let fields = self.fields.iter().filter(|field| field.is_saved()).map(|field| {
            let (member, binding) = (&field.member, &field.binding);
            quote!(#member: #binding,)
        });
        quote!(#path { #(#fields)* .. })
    }
}
