//! `derive(Save)`.

use proc_macro2::TokenStream;
use quote::quote;

use crate::fields::Field;
use crate::shape::{Shape, Variant};

pub(crate) fn expand(shape: &Shape<'_>) -> TokenStream {
    let schema = schema(shape);
    let print = print(shape);
    let ident = shape.ident;
    let generics = shape.bounded(&quote!(::state::Save));
    let (head, tail, bounds) = generics.split_for_impl();
    let early = arms(shape, |variant| {
        let tag = variant.tag;
        let tag = shape.is_enum.then(|| quote!(w.uint(#tag);));
        let fields = saved(variant).map(Field::save);
        quote!(#tag #(#fields;)*)
    });
    let late = arms(shape, |variant| {
        let fields = saved(variant).map(Field::save_late);
        quote!(#(#fields;)*)
    });
    quote! {
        #schema

        #[automatically_derived]
        impl #head ::state::Save for #ident #tail #bounds {
            const PRINT: u64 = #print;

            fn save(&self, w: &mut ::state::Writer<'_>) -> ::state::Result<()> {
                let _ = &*w;
                match self { #early }
                ::core::result::Result::Ok(())
            }

            fn save_late(&self, w: &mut ::state::Writer<'_>) -> ::state::Result<()> {
                let _ = &*w;
                match self { #late }
                ::core::result::Result::Ok(())
            }
        }
    }
}

/// What is the same for all type parameters: name, check after loading, counter.
fn schema(shape: &Shape<'_>) -> TokenStream {
    let (ident, name) = (shape.ident, &shape.name);
    let (head, tail, bounds) = shape.generics.split_for_impl();
    let after_load = shape.after_load.as_ref().map(|function| {
        quote! {
            fn after_load(&self) -> ::state::Result<()> {
                #function(self)
            }
        }
    });
    quote! {
        #[automatically_derived]
        impl #head ::state::Schema for #ident #tail #bounds {
            const NAME: &'static str = #name;
            #after_load
        }

        #[automatically_derived]
        impl #head ::state::live::Counted for #ident #tail #bounds {
            fn counter() -> &'static ::state::live::Counter {
                static COUNTER: ::state::live::Counter = ::state::live::Counter::new(#name);
                &COUNTER
            }
        }
    }
}

/// The fingerprint: names and forms of all fields that the first layout had.
fn print(shape: &Shape<'_>) -> TokenStream {
    let mut code = quote!(let print = 0;);
    for variant in shape.variants.iter().filter(|variant| variant.since.is_none()) {
        let name = format!("|{}", variant.name);
        code.extend(quote!(let print = ::state::print::mix(print, ::state::print::text(#name));));
        for field in variant.fields.iter().filter(|field| field.is_original()) {
            // What is written early stands elsewhere in the image.
            let early = if field.on.early { "!" } else { "" };
            let (ty, name) = (field.ty, format!(".{}{early}", field.name));
            code.extend(quote! {
                let print = ::state::print::mix(print, ::state::print::text(#name));
                let print = ::state::print::mix(print, <#ty as ::state::Save>::PRINT);
            });
        }
    }
    quote!({ #code print })
}

fn arms(shape: &Shape<'_>, code: impl Fn(&Variant<'_>) -> TokenStream) -> TokenStream {
    let arms = shape.variants.iter().map(|variant| {
        let (pattern, code) = (variant.pattern(), code(variant));
        quote!(#pattern => { #code })
    });
    quote!(#(#arms)*)
}

fn saved<'a>(variant: &'a Variant<'a>) -> impl Iterator<Item = &'a Field<'a>> {
    variant.fields.iter().filter(|field| field.is_saved())
}
