//! The derive of `MetadataModel`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Expr, Field, Fields, Ident, LitStr, Token, Type, parenthesized};

/// The column with the key of the entry.
const OWNER: &str = "cache_key";

/// The primary key of a table without one of its own.
const GENERATED_KEY: &str = "id";

/// The longest name, in bytes: that of PostgreSQL.
const LONGEST_NAME: usize = 63;

/// The content of `#[metadata(…)]` of a struct.
#[derive(Default)]
struct Options {
    table: Option<LitStr>,
    /// Fields, and whether the index is unique.
    indexes: Vec<(Vec<Ident>, bool)>,
}

impl Options {
    fn of(attributes: &[syn::Attribute]) -> syn::Result<Self> {
        let mut options = Self::default();
        for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("metadata")) {
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("table") {
                    meta.input.parse::<Token![=]>()?;
                    if options.table.replace(meta.input.parse()?).is_some() {
                        return Err(meta.error("the option is given twice"));
                    }
                } else if (meta.path.is_ident("index") || meta.path.is_ident("unique"))
                    && meta.input.peek(syn::token::Paren)
                {
                    let names;
                    parenthesized!(names in meta.input);
                    let names = names.parse_terminated(<Ident as syn::ext::IdentExt>::parse_any, Token![,])?;
                    if names.is_empty() {
                        return Err(meta.error("name the fields of the index"));
                    }
                    options.indexes.push((names.into_iter().collect(), meta.path.is_ident("unique")));
                } else {
                    return Err(meta.error(
                        "no such option here; the options are `table = \"…\"`, `index(a, b)` and `unique(a, b)`",
                    ));
                }
                Ok(())
            })?;
        }
        Ok(options)
    }
}

/// The content of `#[metadata(…)]` of a field.
#[derive(Default)]
struct FieldOptions {
    rename: Option<LitStr>,
    index: bool,
    unique: bool,
    primary_key: bool,
    skip: bool,
    default: Option<TokenStream>,
}

impl FieldOptions {
    fn of(field: &Field) -> syn::Result<Self> {
        let mut options = Self::default();
        let kind = &field.ty;
        for attribute in field.attrs.iter().filter(|attribute| attribute.path().is_ident("metadata")) {
            attribute.parse_nested_meta(|meta| {
                let name = meta.path.get_ident().map(ToString::to_string).unwrap_or_default();
                let mut set = |flag: fn(&mut Self) -> &mut bool| {
                    let flag = flag(&mut options);
                    if std::mem::replace(flag, true) { Err(meta.error("the option is given twice")) } else { Ok(()) }
                };
                match name.as_str() {
                    "index" => set(|options| &mut options.index),
                    "unique" => set(|options| &mut options.unique),
                    "primary_key" => set(|options| &mut options.primary_key),
                    "skip" => set(|options| &mut options.skip),
                    "rename" => {
                        meta.input.parse::<Token![=]>()?;
                        match options.rename.replace(meta.input.parse()?) {
                            Some(_) => Err(meta.error("the option is given twice")),
                            None => Ok(()),
                        }
                    }
                    "default" => {
                        let value = if meta.input.peek(Token![=]) {
                            meta.input.parse::<Token![=]>()?;
                            let value: Expr = meta.input.parse()?;
                            quote!(#value)
                        } else {
                            let value = quote!(<#kind as ::cacheness::ColumnValue>::Value);
                            quote!(<#value as ::core::default::Default>::default())
                        };
                        match options.default.replace(value) {
                            Some(_) => Err(meta.error("the option is given twice")),
                            None => Ok(()),
                        }
                    }
                    _ => Err(meta.error(
                        "no such option here; the options are `index`, `unique`, `primary_key`, `default`, \
                         `default = …`, `rename = \"…\"` and `skip`",
                    )),
                }
            })?;
        }
        let others = options.index
            || options.unique
            || options.primary_key
            || options.rename.is_some()
            || options.default.is_some();
        if options.skip && others {
            return Err(syn::Error::new(field.span(), "the field is skipped, so it has no column"));
        }
        Ok(options)
    }
}

/// A field that is a column.
struct Column<'a> {
    ident: &'a Ident,
    name: String,
    kind: &'a Type,
    options: FieldOptions,
}

fn unraw(ident: &Ident) -> String {
    let text = ident.to_string();
    text.strip_prefix("r#").unwrap_or(&text).to_owned()
}

/// The words of a name in camel case, joined by underscores: as Python names the table of a class.
fn snake_case(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    let mut snake = String::new();
    for (place, letter) in letters.iter().enumerate() {
        let before = place.checked_sub(1).map(|before| letters[before]);
        let begins = match before {
            Some(before) if letter.is_ascii_uppercase() => {
                let next_is_small = letters.get(place + 1).is_some_and(char::is_ascii_lowercase);
                before.is_ascii_lowercase() || before.is_ascii_digit() || (before.is_ascii_uppercase() && next_is_small)
            }
            _ => false,
        };
        if begins {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}

fn wrong_name(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        Some("the name is empty")
    } else if name.len() > LONGEST_NAME {
        Some("the name is longer than 63 bytes")
    } else if name.contains('\0') {
        Some("the name has a NUL character")
    } else {
        None
    }
}

/// The name of the table.
fn table_of(ident: &Ident, given: Option<&LitStr>) -> syn::Result<String> {
    let Some(given) = given else { return Ok(format!("custom_{}", snake_case(&unraw(ident)))) };
    let name = given.value();
    if let Some(why) = wrong_name(&name) {
        return Err(syn::Error::new(given.span(), why));
    }
    let lower = name.to_ascii_lowercase();
    if ["cache_", "sqlite_", "pg_"].iter().any(|prefix| lower.starts_with(prefix)) {
        return Err(syn::Error::new(given.span(), "the name belongs to the store: begin it with `custom_`"));
    }
    Ok(name)
}

fn columns(fields: &syn::FieldsNamed) -> syn::Result<(Vec<Column<'_>>, Vec<&Ident>)> {
    let (mut columns, mut skipped): (Vec<Column<'_>>, Vec<&Ident>) = (Vec::new(), Vec::new());
    for field in &fields.named {
        let options = FieldOptions::of(field)?;
        let ident = field.ident.as_ref().expect("a named field has a name");
        if options.skip {
            skipped.push(ident);
            continue;
        }
        let name = options.rename.as_ref().map_or_else(|| unraw(ident), LitStr::value);
        if let Some(why) = wrong_name(&name) {
            return Err(syn::Error::new(options.rename.span(), why));
        }
        if name.eq_ignore_ascii_case(OWNER) {
            return Err(syn::Error::new(
                ident.span(),
                "every table has the column `cache_key`, which refers to the entry: leave the field out; `with_keys()` of a \
                 query returns it",
            ));
        }
        if columns.iter().any(|column| column.name.eq_ignore_ascii_case(&name)) {
            return Err(syn::Error::new(ident.span(), format!("two columns have the name `{name}`")));
        }
        columns.push(Column { ident, name, kind: &field.ty, options });
    }
    let has_key = columns.iter().any(|column| column.options.primary_key);
    if let Some(column) = columns.iter().find(|column| !has_key && column.name.eq_ignore_ascii_case(GENERATED_KEY)) {
        return Err(syn::Error::new(
            column.ident.span(),
            "a table without a primary key has the column `id`, which the database fills: leave the field out, make it \
             `#[metadata(primary_key)]`, or give its column another name with `#[metadata(rename = \"…\")]`",
        ));
    }
    Ok((columns, skipped))
}

/// The indexes: those of fields, then those of the struct.
fn indexes(columns: &[Column<'_>], options: &Options) -> syn::Result<Vec<(Vec<String>, bool)>> {
    let mut indexes = Vec::new();
    for column in columns {
        let name = || vec![column.name.clone()];
        if column.options.unique {
            indexes.push((name(), true));
        }
        if column.options.index {
            indexes.push((name(), false));
        }
    }
    for (fields, unique) in &options.indexes {
        let mut names = Vec::new();
        for field in fields {
            let found = columns.iter().find(|column| column.ident == field).map(|column| column.name.clone());
            match found {
                Some(name) => names.push(name),
                None if unraw(field) == OWNER => names.push(OWNER.to_owned()),
                None => return Err(syn::Error::new(field.span(), format!("no field `{field}` is a column"))),
            }
        }
        indexes.push((names, *unique));
    }
    Ok(indexes)
}

pub(crate) fn model(input: &DeriveInput) -> syn::Result<TokenStream> {
    let no_struct =
        |span| syn::Error::new(span, "a model is a struct with named fields: each is a column of its table");
    let fields = match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) => fields,
            _ => return Err(no_struct(input.ident.span())),
        },
        Data::Enum(data) => return Err(no_struct(data.enum_token.span())),
        Data::Union(data) => return Err(no_struct(data.union_token.span())),
    };
    if let Some(parameter) = input.generics.params.first() {
        return Err(syn::Error::new(
            parameter.span(),
            "a model has neither lifetimes nor parameters: its table has one set of columns, of owned values",
        ));
    }
    let options = Options::of(&input.attrs)?;
    let table = table_of(&input.ident, options.table.as_ref())?;
    let (columns, skipped) = columns(fields)?;
    let indexes = indexes(&columns, &options)?;
    let (name, visibility) = (&input.ident, &input.vis);

    let functions = columns.iter().map(|column| {
        let Column { ident, name, kind, .. } = column;
        let about = format!("The column `{name}` of `{table}`.");
        quote_spanned! {ident.span()=>
            #[doc = #about]
            #[must_use]
            #visibility fn #ident() -> ::cacheness::Column<Self, #kind> {
                ::cacheness::Column::of_model(#name)
            }
        }
    });
    let has_key = columns.iter().any(|column| column.options.primary_key);
    let generated = (!has_key).then(|| {
        quote! {
            /// The primary key of the table, which the database generates.
            #[must_use]
            #visibility fn id() -> ::cacheness::Column<Self, i64> {
                ::cacheness::Column::of_model(#GENERATED_KEY)
            }
        }
    });
    let schema = columns.iter().map(|column| {
        let Column { name, kind, options, .. } = column;
        let key = options.primary_key.then(|| quote!(.primary_key()));
        let default = options.default.as_ref().map(|value| {
            quote_spanned!(value.span()=> .default_value(::cacheness::model::derived::default::<#kind>(#name, #value)?))
        });
        quote_spanned! {kind.span()=>
            .column(::cacheness::model::derived::column::<#kind>(#name) #key #default)
        }
    });
    let indexes = indexes.iter().map(|(columns, unique)| quote!(.index([#(#columns),*], #unique)));
    let values = columns.iter().map(|column| {
        let Column { ident, name, .. } = column;
        quote!(::cacheness::model::derived::value(#table, #name, &self.#ident)?)
    });
    let read = columns.iter().map(|column| {
        let ident = column.ident;
        quote!(#ident: reader.read()?)
    });
    let skipped = skipped.iter().map(|ident| quote!(#ident: ::core::default::Default::default()));
    Ok(quote! {
        #[automatically_derived]
        #[allow(dead_code, clippy::all)]
        impl #name {
            #(#functions)*

            #generated

            /// The key of the entry that a row belongs to.
            #[must_use]
            #visibility fn cache_key() -> ::cacheness::Column<Self, ::std::string::String> {
                ::cacheness::Column::of_model(#OWNER)
            }
        }

        #[automatically_derived]
        impl ::cacheness::MetadataModel for #name {
            const TABLE: &'static str = #table;

            fn schema() -> ::cacheness::Result<&'static ::cacheness::core::backend::Schema> {
                static SCHEMA: ::std::sync::OnceLock<::cacheness::core::backend::Schema> = ::std::sync::OnceLock::new();
                ::cacheness::model::derived::schema(&SCHEMA, || {
                    ::core::result::Result::Ok(::cacheness::core::backend::Schema::new(#table) #(#schema)* #(#indexes)*)
                })
            }

            fn to_row(
                &self,
            ) -> ::cacheness::Result<
                ::std::vec::Vec<(::std::string::String, ::cacheness::core::formats::plain::Value)>,
            > {
                ::core::result::Result::Ok(::std::vec![#(#values),*])
            }

            fn from_row(reader: &mut ::cacheness::model::RowReader<'_>) -> ::cacheness::Result<Self> {
                ::core::result::Result::Ok(Self { #(#read,)* #(#skipped,)* })
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_called_as_in_python() {
        for (name, table) in [
            ("Experiment", "experiment"),
            ("MLRun", "ml_run"),
            ("Run2Step", "run2_step"),
            ("HTTPServerV2", "http_server_v2"),
            ("A", "a"),
            ("already_snake", "already_snake"),
        ] {
            assert_eq!(snake_case(name), table);
        }
    }
}
