//! `derive(Load)`.

use proc_macro2::TokenStream;
use quote::quote;

use crate::fields::Field;
use crate::shape::{Shape, Variant};

pub(crate) fn expand(shape: &Shape<'_>) -> TokenStream {
    let ident = shape.ident;
    let generics = shape.bounded(&quote!(::state::Load));
    let (head, tail, bounds) = generics.split_for_impl();
    let make = if shape.is_enum { make_enum(shape) } else { make(&shape.variants[0]) };
    let fill = shape.variants.iter().map(|variant| {
        let pattern = variant.pattern();
        let fields = variant.fields.iter().filter(|field| field.is_saved()).map(Field::fill);
        quote!(#pattern => { #(#fields;)* })
    });
    quote! {
        #[automatically_derived]
        impl #head ::state::Load for #ident #tail #bounds {
            fn load(r: &mut ::state::Reader<'_>) -> ::state::Result<Self> {
                let _ = &*r;
                ::core::result::Result::Ok(#make)
            }

            fn fill(&self, r: &mut ::state::Reader<'_>) -> ::state::Result<()> {
                let _ = &*r;
                match self { #(#fill)* }
                ::core::result::Result::Ok(())
            }
        }
    }
}

/// Reads the variant's number, then its fields.
fn make_enum(shape: &Shape<'_>) -> TokenStream {
    let arms = shape.variants.iter().map(|variant| {
        let (tag, make) = (variant.tag, make(variant));
        let since = variant.since.map(|since| quote!(if r.version() >= #since));
        quote!(#tag #since => #make,)
    });
    let unknown = format!("unknown variant of {}", shape.ident);
    quote! {
        match r.uint()? {
            #(#arms)*
            _ => return ::core::result::Result::Err(r.bad(#unknown)),
        }
    }
}

fn make(variant: &Variant<'_>) -> TokenStream {
    let path = &variant.path;
    let fields = variant.fields.iter().map(Field::load);
    quote!(#path { #(#fields),* })
}
