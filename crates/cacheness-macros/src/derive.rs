//! The derives of `Plain` and `ToKey`.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Field, Fields, GenericParam, Generics, Ident, Index, LitStr, Token, WhereClause};

/// `where` with `bound` for each type parameter of its own.
fn bounded(generics: &Generics, bound: &TokenStream) -> WhereClause {
    let mut clause = generics.where_clause.clone().unwrap_or(syn::parse_quote!(where));
    for parameter in generics.type_params() {
        let name = &parameter.ident;
        clause.predicates.push(syn::parse_quote!(#name: #bound));
    }
    clause
}

pub(crate) fn plain(input: &DeriveInput) -> syn::Result<TokenStream> {
    if let Some(GenericParam::Lifetime(lifetime)) =
        input.generics.params.iter().find(|parameter| matches!(parameter, GenericParam::Lifetime(_)))
    {
        return Err(syn::Error::new(
            lifetime.span(),
            "a value that borrows cannot be read back: own the data (`String`, `Vec<_>`), or put the value as \
             `cacheness::Serde(value)`",
        ));
    }
    let name = &input.ident;
    let clause = bounded(&input.generics, &quote!(::cacheness::Plain));
    let (generics, arguments, _) = input.generics.split_for_impl();
    // Without type parameters, a check in place gives the compiler's error, which says what to write.
    let check = input.generics.params.is_empty().then(|| {
        quote_spanned! {name.span()=>
            const _: fn() = || {
                fn is_serde_type<T: ::cacheness::SerdeType>() {}
                is_serde_type::<#name>();
            };
        }
    });
    Ok(quote! {
        #check
        #[automatically_derived]
        impl #generics ::cacheness::Plain for #name #arguments #clause {}
    })
}

/// The content of `#[key(…)]`.
#[derive(Default)]
struct Options {
    rename: Option<LitStr>,
    skip: Option<Ident>,
    transparent: Option<Ident>,
}

/// The item with the attribute, which determines the allowed options.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Struct,
    Enum,
    Variant,
    Field,
}

impl Place {
    fn options(self) -> &'static str {
        match self {
            Self::Struct => "`rename = \"…\"` and `transparent`",
            Self::Enum | Self::Variant => "`rename = \"…\"`",
            Self::Field => "`rename = \"…\"` and `skip`",
        }
    }
}

impl Options {
    fn of(attributes: &[syn::Attribute], place: Place) -> syn::Result<Self> {
        let mut options = Self::default();
        for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("key")) {
            attribute.parse_nested_meta(|meta| {
                let twice = || meta.error("the option is given twice");
                let name = meta.path.get_ident().map(ToString::to_string).unwrap_or_default();
                match (name.as_str(), place) {
                    ("rename", _) => {
                        meta.input.parse::<Token![=]>()?;
                        if options.rename.replace(meta.input.parse()?).is_some() {
                            return Err(twice());
                        }
                    }
                    ("skip", Place::Field) => {
                        if options.skip.replace(Ident::new("skip", meta.path.span())).is_some() {
                            return Err(twice());
                        }
                    }
                    ("transparent", Place::Struct) => {
                        if options.transparent.replace(Ident::new("transparent", meta.path.span())).is_some() {
                            return Err(twice());
                        }
                    }
                    _ => return Err(meta.error(format!("no such option here; the options are {}", place.options()))),
                }
                Ok(())
            })?;
        }
        if let (Some(_), Some(transparent)) = (&options.rename, &options.transparent) {
            return Err(syn::Error::new(
                transparent.span(),
                "a transparent struct has the key of its field, so it cannot have a name",
            ));
        }
        Ok(options)
    }
}

/// A field that is part of the key.
struct Part {
    name: String,
    /// A reference to its value.
    value: TokenStream,
}

/// The fields that are part of the key; `value` gives an expression for each.
fn parts(fields: &Fields, value: impl Fn(usize, &Field) -> TokenStream) -> syn::Result<Vec<Part>> {
    let mut parts: Vec<Part> = Vec::new();
    for (i, field) in fields.iter().enumerate() {
        let options = Options::of(&field.attrs, Place::Field)?;
        if let Some(skip) = options.skip {
            if let Some(rename) = options.rename {
                return Err(syn::Error::new(rename.span(), "the field is skipped, so it cannot have a name"));
            }
            if matches!(fields, Fields::Unnamed(_)) && fields.len() == 1 {
                return Err(syn::Error::new(skip.span(), "the key would be empty"));
            }
            continue;
        }
        let name = match (&options.rename, &field.ident) {
            (Some(rename), None) => {
                return Err(syn::Error::new(rename.span(), "the key of an unnamed field is its position"));
            }
            (Some(rename), Some(_)) => rename.value(),
            (None, Some(ident)) => unraw(ident),
            (None, None) => i.to_string(),
        };
        if parts.iter().any(|part| part.name == name) {
            return Err(syn::Error::new(field.span(), format!("two fields of the key have the name `{name}`")));
        }
        // The span of the field's type: an error about a missing `ToKey` points there.
        let value = value(i, field);
        let kind = field.ty.span();
        parts.push(Part { name, value: quote_spanned!(kind=> #value as &dyn ::cacheness::ToKey) });
    }
    Ok(parts)
}

fn unraw(ident: &Ident) -> String {
    let text = ident.to_string();
    text.strip_prefix("r#").unwrap_or(&text).to_owned()
}

/// The call that encodes a struct, or a variant with fields, with the name `name`.
fn encode(fields: &Fields, name: &TokenStream, parts: &[Part]) -> TokenStream {
    let values = parts.iter().map(|part| &part.value);
    match fields {
        Fields::Named(_) | Fields::Unit => {
            let names = parts.iter().map(|part| &part.name);
            quote!(encoder.fields(#name, &[#((#names, #values)),*]))
        }
        Fields::Unnamed(fields) if fields.unnamed.len() == 1 => quote!(encoder.named(#name, #(#values)*)),
        Fields::Unnamed(_) => quote!(encoder.parts(#name, &[#(#values),*])),
    }
}

fn encode_struct(input: &DeriveInput, fields: &Fields) -> syn::Result<TokenStream> {
    let options = Options::of(&input.attrs, Place::Struct)?;
    let parts = parts(fields, |i, field| match &field.ident {
        Some(name) => quote!(&self.#name),
        None => {
            let index = Index::from(i);
            quote!(&self.#index)
        }
    })?;
    if let Some(transparent) = options.transparent {
        let [Part { value, .. }] = &parts[..] else {
            return Err(syn::Error::new(
                transparent.span(),
                "a transparent struct has one field that is part of the key; skip the others",
            ));
        };
        return Ok(quote!(::cacheness::ToKey::encode(#value, encoder)));
    }
    Ok(encode(fields, &type_name(&input.ident, options.rename.as_ref()), &parts))
}

/// The name of a type in the key: the given one, else its path.
fn type_name(ident: &Ident, rename: Option<&LitStr>) -> TokenStream {
    match rename {
        Some(name) => quote!(#name),
        None => {
            let ident = unraw(ident);
            quote!(::core::concat!(::core::module_path!(), "::", #ident))
        }
    }
}

fn encode_enum(input: &DeriveInput, data: &syn::DataEnum) -> syn::Result<TokenStream> {
    let options = Options::of(&input.attrs, Place::Enum)?;
    let class = type_name(&input.ident, options.rename.as_ref());
    let mut names: Vec<String> = Vec::new();
    let mut arms = Vec::new();
    for variant in &data.variants {
        let ident = &variant.ident;
        let options = Options::of(&variant.attrs, Place::Variant)?;
        let name = options.rename.map_or_else(|| unraw(ident), |rename| rename.value());
        if names.contains(&name) {
            return Err(syn::Error::new(variant.span(), format!("two variants of the key have the name `{name}`")));
        }
        let bindings: Vec<Ident> = (0..variant.fields.len()).map(|i| format_ident!("part_{i}")).collect();
        let parts = parts(&variant.fields, |i, _| {
            let binding = &bindings[i];
            quote!(#binding)
        })?;
        let pattern = match &variant.fields {
            Fields::Unit => quote!(Self::#ident),
            Fields::Unnamed(_) => quote!(Self::#ident(#(#bindings),*)),
            Fields::Named(fields) => {
                let fields = fields.named.iter().map(|field| &field.ident);
                quote!(Self::#ident { #(#fields: #bindings),* })
            }
        };
        let encoding = match &variant.fields {
            Fields::Unit => quote! {{
                encoder.enum_member(#class, #name);
                ::core::result::Result::Ok(())
            }},
            fields => encode(fields, &quote!(::core::concat!(#class, ".", #name)), &parts),
        };
        // Skipped fields are bound and not used.
        arms.push(quote!(#[allow(unused_variables)] #pattern => #encoding));
        names.push(name);
    }
    // No value of an enum without variants exists.
    Ok(if arms.is_empty() { quote!(match *self {}) } else { quote!(match self { #(#arms,)* }) })
}

pub(crate) fn to_key(input: &DeriveInput) -> syn::Result<TokenStream> {
    let body = match &input.data {
        Data::Struct(data) => encode_struct(input, &data.fields)?,
        Data::Enum(data) => encode_enum(input, data)?,
        Data::Union(data) => {
            return Err(syn::Error::new(
                data.union_token.span(),
                "a union does not record which of its fields is valid",
            ));
        }
    };
    let name = &input.ident;
    let clause = bounded(&input.generics, &quote!(::cacheness::ToKey));
    let (generics, arguments, _) = input.generics.split_for_impl();
    Ok(quote! {
        #[automatically_derived]
        impl #generics ::cacheness::ToKey for #name #arguments #clause {
            fn encode(&self, encoder: &mut ::cacheness::KeyEncoder) -> ::cacheness::Result<()> {
                #body
            }
        }
    })
}
