//! Fields, and the code for one field.

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote};
use syn::ext::IdentExt as _;
use syn::{Fields, Index, Member, Result, Type};

use crate::attributes::OnField;

/// One field of a struct or variant.
pub(crate) struct Field<'a> {
    /// Its name or index.
    pub(crate) member: Member,
    /// The variable that it is bound to.
    pub(crate) binding: Ident,
    pub(crate) ty: &'a Type,
    pub(crate) on: OnField,
    /// Its name or index as text, for the fingerprint.
    pub(crate) name: String,
    /// `Type.field`, for errors.
    step: String,
}

impl<'a> Field<'a> {
    pub(crate) fn all(fields: &'a Fields, owner: &str) -> Result<Vec<Self>> {
        fields.iter().enumerate().map(|(at, field)| Self::new(at, field, owner)).collect()
    }

    fn new(at: usize, field: &'a syn::Field, owner: &str) -> Result<Self> {
        let (member, name) = match &field.ident {
            Some(ident) => (Member::Named(ident.clone()), ident.unraw().to_string()),
            None => (Member::Unnamed(Index::from(at)), at.to_string()),
        };
        Ok(Self {
            member,
            binding: format_ident!("field{at}"),
            ty: &field.ty,
            on: OnField::parse(&field.attrs)?,
            step: format!("{owner}.{name}"),
            name,
        })
    }

    /// Does the field count in the fingerprint? One that was added later does not,
    /// so that the fingerprint stays that of the older layout.
    pub(crate) fn is_original(&self) -> bool {
        self.is_saved() && self.on.since.is_none()
    }

    /// Is it in images?
    pub(crate) fn is_saved(&self) -> bool {
        !self.on.skip && !self.on.given
    }

    pub(crate) fn save(&self) -> TokenStream {
        let binding = &self.binding;
        self.checked(&if self.on.early {
            quote!(::state::Early::save_early(#binding, w))
        } else {
            quote!(::state::Save::save(#binding, w))
        })
    }

    pub(crate) fn save_late(&self) -> TokenStream {
        let binding = &self.binding;
        self.checked(&if self.on.early {
            quote!(::state::Early::save_rest(#binding, w))
        } else {
            quote!(::state::Save::save_late(#binding, w))
        })
    }

    /// `member: value`.
    pub(crate) fn load(&self) -> TokenStream {
        let member = &self.member;
        let default = quote!(::core::default::Default::default());
        if self.on.skip {
            return quote!(#member: #default);
        }
        if self.on.given {
            let value = self.checked(&quote!(::state::Reader::given(r)));
            return quote!(#member: #value);
        }
        let value = self.checked(&if self.on.early {
            quote!(::state::Early::load_early(r))
        } else {
            quote!(::state::Load::load(r))
        });
        match self.on.since {
            Some(since) => {
                quote!(#member: if r.version() >= #since { #value } else { #default })
            }
            None => quote!(#member: #value),
        }
    }

    pub(crate) fn fill(&self) -> TokenStream {
        let binding = &self.binding;
        let fill = self.checked(&if self.on.early {
            quote!(::state::Early::fill_rest(#binding, r))
        } else {
            quote!(::state::Load::fill(#binding, r))
        });
        match self.on.since {
            Some(since) => quote!(if r.version() >= #since { #fill }),
            None => fill,
        }
    }

    /// The call, with the field's name on the way of its error.
    fn checked(&self, call: &TokenStream) -> TokenStream {
        let step = &self.step;
        quote!(#call.map_err(|error| error.within(#step))?)
    }
}
