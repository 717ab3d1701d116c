//! `#[state(…)]` on types, variants and fields.

use syn::meta::ParseNestedMeta;
use syn::{Attribute, Error, LitInt, LitStr, Path, Result};

/// On a type.
#[derive(Default)]
pub(crate) struct OnType {
    pub(crate) name: Option<String>,
    pub(crate) after_load: Option<Path>,
}

/// On a field.
#[derive(Default)]
pub(crate) struct OnField {
    pub(crate) skip: bool,
    pub(crate) early: bool,
    pub(crate) given: bool,
    pub(crate) since: Option<u32>,
}

impl OnType {
    pub(crate) fn parse(attributes: &[Attribute]) -> Result<Self> {
        let mut found = Self::default();
        each(attributes, |meta| {
            if meta.path.is_ident("name") {
                found.name = Some(meta.value()?.parse::<LitStr>()?.value());
            } else if meta.path.is_ident("after_load") {
                found.after_load = Some(meta.value()?.parse()?);
            } else {
                return Err(meta.error("a type may have: name, after_load"));
            }
            Ok(())
        })?;
        Ok(found)
    }
}

impl OnField {
    pub(crate) fn parse(attributes: &[Attribute]) -> Result<Self> {
        let mut found = Self::default();
        each(attributes, |meta| {
            if meta.path.is_ident("skip") {
                found.skip = true;
            } else if meta.path.is_ident("early") {
                found.early = true;
            } else if meta.path.is_ident("given") {
                found.given = true;
            } else if meta.path.is_ident("since") {
                found.since = Some(version(meta)?);
            } else {
                return Err(meta.error("a field may have: skip, given, early, since"));
            }
            Ok(())
        })?;
        let in_no_image = found.skip || found.given;
        if in_no_image && (found.early || found.since.is_some()) {
            let place = attributes.first().map(|a| a.pound_token.span);
            let place = place.unwrap_or_else(proc_macro2::Span::call_site);
            return Err(Error::new(
                place,
                "a skipped or given field is in no image: neither early nor since",
            ));
        }
        Ok(found)
    }
}

/// The version since which a variant exists.
pub(crate) fn on_variant(attributes: &[Attribute]) -> Result<Option<u32>> {
    let mut since = None;
    each(attributes, |meta| {
        if !meta.path.is_ident("since") {
            return Err(meta.error("a variant may have: since"));
        }
        since = Some(version(meta)?);
        Ok(())
    })?;
    Ok(since)
}

fn version(meta: &ParseNestedMeta<'_>) -> Result<u32> {
    meta.value()?.parse::<LitInt>()?.base10_parse()
}

/// Calls `read` for each item of each `#[state(…)]`.
fn each(
    attributes: &[Attribute],
    mut read: impl FnMut(&ParseNestedMeta<'_>) -> Result<()>,
) -> Result<()> {
    attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident("state"))
        .try_for_each(|attribute| attribute.parse_nested_meta(|meta| read(&meta)))
}
