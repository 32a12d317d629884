//! The function that replaces the decorated one.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{FnArg, GenericParam, Ident, ItemFn, Pat, ReceiverKind, ReturnType, Type};

use crate::code;
use crate::options::{CodeChange, Options};

/// An argument that is part of the key.
struct Argument {
    name: String,
    value: TokenStream,
}

fn arguments(options: &Options, function: &ItemFn) -> syn::Result<Vec<Argument>> {
    let mut ignored: Vec<&Ident> = options.ignore.iter().collect();
    let mut arguments = Vec::new();
    for input in &function.sig.inputs {
        let (name, value, changes) = match input {
            FnArg::Receiver(receiver) => {
                let changes = match &receiver.kind {
                    ReceiverKind::Reference(_, _, mutability) => mutability.is_some(),
                    ReceiverKind::Typed(_, kind) => is_mutable(kind),
                    _ => false,
                };
                ("self".to_owned(), quote!(self), changes)
            }
            FnArg::Typed(typed) => match &*typed.pat {
                Pat::Ident(pattern) => {
                    let name = &pattern.ident;
                    let text = name.to_string();
                    (text.strip_prefix("r#").unwrap_or(&text).to_owned(), quote!(#name), is_mutable(&typed.ty))
                }
                other => {
                    return Err(syn::Error::new(
                        other.span(),
                        "an argument of a cached function needs a name, which is part of the key",
                    ));
                }
            },
        };
        if let Some(at) = ignored.iter().position(|ignored| **ignored == name) {
            ignored.swap_remove(at);
            continue;
        }
        if changes {
            return Err(syn::Error::new(
                input.span(),
                format!(
                    "`{name}` may be changed by the function, which a cached result cannot do; ignore({name}) if that does not matter"
                ),
            ));
        }
        arguments.push(Argument { name, value });
    }
    match ignored.first() {
        Some(unknown) => Err(syn::Error::new(unknown.span(), format!("the function has no argument `{unknown}`"))),
        None => Ok(arguments),
    }
}

fn is_mutable(kind: &Type) -> bool {
    matches!(kind, Type::Reference(reference) if reference.mutability.is_some())
}

/// Whether the function returns a `Result`, by the name of the type.
fn returns_result(function: &ItemFn) -> bool {
    let ReturnType::Type(_, kind) = &function.sig.output else { return false };
    let Type::Path(path) = &**kind else { return false };
    path.path.segments.last().is_some_and(|last| last.ident == "Result")
}

fn optional_seconds(seconds: Option<f64>) -> TokenStream {
    match seconds {
        Some(seconds) => quote!(::core::option::Option::Some(::std::time::Duration::from_secs_f64(#seconds))),
        None => quote!(::core::option::Option::None),
    }
}

/// The identity of a function: the path of a function inside it, which includes the type of a method, and its generic
/// arguments. The parameters of its `impl` block appear only in its object and its result.
fn name(function: &ItemFn, output: &TokenStream) -> TokenStream {
    let generics: Vec<_> = function
        .sig
        .generics
        .params
        .iter()
        .filter_map(|parameter| match parameter {
            GenericParam::Type(parameter) => {
                let name = &parameter.ident;
                Some(quote!(::std::string::String::from(::core::any::type_name::<#name>())))
            }
            GenericParam::Const(parameter) => {
                let name = &parameter.ident;
                Some(quote!(::std::string::ToString::to_string(&#name)))
            }
            GenericParam::Lifetime(_) => None,
        })
        .collect();
    let has_parameters = !generics.is_empty();
    let object =
        function.sig.receiver().map(|_| quote!(::std::string::String::from(::core::any::type_name_of_val(&self))));
    let types = generics.into_iter().chain(object);
    quote!(&{
        fn __cacheness_here() {}
        ::cacheness::cached::name(
            ::core::any::type_name_of_val(&__cacheness_here),
            #has_parameters,
            &[#(#types),*],
            ::core::any::type_name::<#output>(),
        )
    })
}

pub(crate) fn cached(options: &Options, function: &ItemFn) -> syn::Result<TokenStream> {
    let ItemFn { attrs, vis, sig, block, .. } = function;
    if let Some(constness) = &sig.constness {
        return Err(syn::Error::new(constness.span(), "a const function is computed when the program is compiled"));
    }
    let arguments = arguments(options, function)?;
    let (names, values): (Vec<_>, Vec<_>) = arguments.iter().map(|argument| (&argument.name, &argument.value)).unzip();
    let output = match &sig.output {
        ReturnType::Default => quote!(()),
        ReturnType::Type(_, kind) => quote_spanned!(kind.span() => #kind),
    };
    let name = match &options.key_prefix {
        Some(prefix) => quote!(#prefix),
        None => name(function, &output),
    };
    let cache = match (&options.cache, &options.dir) {
        (Some(cache), _) => quote!(::core::result::Result::Ok(::core::clone::Clone::clone(
            ::core::borrow::Borrow::<::cacheness::Cache>::borrow(&#cache)
        ))),
        (None, Some(dir)) => quote!(::cacheness::cached::shared(#dir)),
        (None, None) => quote!(::cacheness::default_cache()),
    };
    let version = match &options.version {
        Some(version) => quote!(::core::option::Option::Some(#version)),
        None => quote!(::core::option::Option::None),
    };
    let code = code::hash(function);
    let on_code_change = match options.on_code_change.unwrap_or_default() {
        CodeChange::Recompute => quote!(Recompute),
        CodeChange::Warn => quote!(Warn),
        CodeChange::Ignore => quote!(Ignore),
    };
    let (ttl, stale) = (optional_seconds(options.ttl), optional_seconds(options.stale));
    let call = quote! {
        ::cacheness::cached::Call::new(
            #cache,
            #name,
            #version,
            &[#((#names, &#values as &dyn ::cacheness::ToKey)),*],
            #ttl,
            #stale,
            {
                static CODE: ::cacheness::cached::Code =
                    ::cacheness::cached::Code::new([#(#code),*], ::cacheness::cached::OnCodeChange::#on_code_change);
                &CODE
            },
        )
    };
    let run = match (sig.asyncness.is_some(), returns_result(function)) {
        (false, false) => quote!(__cacheness_call.run(move || -> #output #block)),
        (false, true) => quote!(__cacheness_call.try_run(move || -> #output #block)),
        (true, false) => {
            quote!(__cacheness_call.run_async(move || ::cacheness::cached::typed::<#output, _>(async move #block)).await)
        }
        (true, true) => {
            quote!(__cacheness_call.try_run_async(move || ::cacheness::cached::typed::<#output, _>(async move #block)).await)
        }
    };
    Ok(quote! {
        #(#attrs)*
        #vis #sig {
            let __cacheness_call = #call;
            #run
        }
    })
}
