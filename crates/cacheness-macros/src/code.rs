//! A hash of a function's code that is independent of its formatting.

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};
use quote::ToTokens;
use syn::ItemFn;

/// 16 bytes that change with the code of a function: its arguments, its result and its body. Comments, documentation,
/// attributes, spaces and commas before a closing bracket do not count, nor do called functions or constants.
///
/// The hash is FNV-1a of 128 bits over the tokens, with `rust` in place of its first four bytes: it does not depend on how a
/// compiler prints tokens.
pub(crate) fn hash(function: &ItemFn) -> [u8; 16] {
    let mut hasher = Hasher::new();
    let signature = &function.sig;
    hasher.tokens(signature.asyncness.to_token_stream());
    hasher.tokens(signature.generics.to_token_stream());
    hasher.tokens(signature.inputs.to_token_stream());
    hasher.tokens(signature.generics.where_clause.to_token_stream());
    hasher.tokens(signature.output.to_token_stream());
    hasher.tokens(function.block.to_token_stream());
    // The prefix of Rust code hashes, which are not compared with those of Python.
    let mut code = hasher.0.to_be_bytes();
    code[..4].copy_from_slice(b"rust");
    code
}

struct Hasher(u128);

impl Hasher {
    fn new() -> Self {
        Self(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d)
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u128::from(*byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
        }
    }

    /// One token, separated from its neighbours and from tokens of another kind.
    fn token(&mut self, kind: u8, text: &str) {
        self.bytes(&[kind]);
        self.bytes(text.as_bytes());
        self.bytes(&[0xff]);
    }

    fn tokens(&mut self, tokens: TokenStream) {
        self.group(tokens, false);
        self.bytes(&[0xfe]);
    }

    /// The tokens between two brackets. A trailing comma counts only if it makes a tuple.
    fn group(&mut self, tokens: TokenStream, is_tuple: bool) {
        let mut tokens: Vec<TokenTree> = without_attributes(tokens);
        let commas = tokens.iter().filter(|token| is_punct(token, ',')).count();
        if tokens.last().is_some_and(|token| is_punct(token, ',')) && (commas > 1 || !is_tuple) {
            tokens.pop();
        }
        let mut before: Option<&TokenTree> = None;
        for token in &tokens {
            match token {
                TokenTree::Group(group) => {
                    let delimiter = group.delimiter();
                    let (open, close) = match delimiter {
                        Delimiter::Parenthesis => ("(", ")"),
                        Delimiter::Bracket => ("[", "]"),
                        Delimiter::Brace => ("{", "}"),
                        Delimiter::None => ("", ""),
                    };
                    let is_tuple = delimiter == Delimiter::Parenthesis && !before.is_some_and(is_called);
                    self.token(b'g', open);
                    self.group(group.stream(), is_tuple);
                    self.token(b'g', close);
                }
                TokenTree::Ident(ident) => self.token(b'i', &ident.to_string()),
                TokenTree::Punct(punct) => {
                    let joint = punct.spacing() == Spacing::Joint;
                    self.token(if joint { b'j' } else { b'p' }, punct.as_char().encode_utf8(&mut [0; 4]));
                }
                TokenTree::Literal(literal) => self.token(b'l', &literal.to_string()),
            }
            before = Some(token);
        }
    }
}

fn is_punct(token: &TokenTree, wanted: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == wanted)
}

/// Whether brackets after this token contain arguments: of `f(…)`, `f::<T>(…)`, `f(…)(…)`, `f[…](…)`, `m!(…)`.
fn is_called(token: &TokenTree) -> bool {
    match token {
        TokenTree::Ident(ident) => !matches!(
            &*ident.to_string(),
            "return" | "in" | "match" | "if" | "while" | "let" | "mut" | "ref" | "else" | "break" | "move" | "as"
        ),
        TokenTree::Group(group) => group.delimiter() != Delimiter::Brace,
        TokenTree::Punct(punct) => matches!(punct.as_char(), '>' | '!' | '?'),
        TokenTree::Literal(_) => false,
    }
}

/// The tokens without `#[…]` and `#![…]`, which include documentation.
fn without_attributes(tokens: TokenStream) -> Vec<TokenTree> {
    let mut kept: Vec<TokenTree> = Vec::new();
    for token in tokens {
        if matches!(&token, TokenTree::Group(group) if group.delimiter() == Delimiter::Bracket) {
            match &kept[..] {
                [.., hash] if is_punct(hash, '#') => {
                    kept.pop();
                    continue;
                }
                [.., hash, inner] if is_punct(hash, '#') && is_punct(inner, '!') => {
                    kept.truncate(kept.len() - 2);
                    continue;
                }
                _ => {}
            }
        }
        kept.push(token);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(source: &str) -> [u8; 16] {
        hash(&syn::parse_str(source).expect("the source is a function"))
    }

    #[test]
    fn how_code_is_written_down_does_not_count() {
        let written = of("fn f(x: u32, y: &[u8]) -> Vec<u32> { let z = g(x, y); vec![z, 2] }");
        for same in [
            "/// Documented.\n#[inline]\npub fn f(x: u32, y: &[u8]) -> Vec<u32> { let z = g(x, y); vec![z, 2] }",
            "fn f(\n    x: u32,\n    y: &[u8],\n) -> Vec<u32> {\n    // A remark.\n    let z = g(\n x,\n y,\n);\n    vec![z, 2,]\n}",
            "fn f(x: u32, y: &[u8]) -> Vec<u32> { #![allow(unused)] #[rustfmt::skip] let z = g(x, y); /* and */ vec![z, 2] }",
            "fn renamed(x: u32, y: &[u8]) -> Vec<u32> { let z = g(x, y); vec![z, 2] }",
        ] {
            assert_eq!(of(same), written, "{same}");
        }
    }

    #[test]
    fn what_code_does_counts() {
        let sources = [
            "fn f(x: u32) -> u32 { x + 1 }",
            "fn f(x: u32) -> u32 { x + 2 }",
            "fn f(x: u32) -> u32 { x - 1 }",
            "fn f(x: u32) -> u64 { x + 1 }",
            "fn f(x: u32, y: u32) -> u32 { x + 1 }",
            "fn f(x: u32) -> u32 { \"x + 1\" }",
            "fn f(x: u32) -> u32 { x + 1; }",
            "fn f(x: u32) -> u32 { x + 1u8 }",
            "async fn f(x: u32) -> u32 { x + 1 }",
            "fn f<T>(x: u32) -> u32 { x + 1 }",
            "fn f<T>(x: u32) -> u32 where T: Copy { x + 1 }",
            "fn f(x: u32) -> u32 { (x + 1,) }",
            "fn f(x: u32) -> u32 { (x + 1) }",
            "fn f(x: u32) -> u32 { return (x + 1,) }",
            "fn f(x: u32) -> u32 { return (x + 1) }",
            "fn f(x: u32) -> u32 { x == 1 }",
        ];
        for (i, one) in sources.iter().enumerate() {
            for other in &sources[..i] {
                assert_ne!(of(one), of(other), "{one} and {other}");
            }
        }
    }

    #[test]
    fn the_hash_of_a_function_never_changes() {
        // An entry that an earlier release has put is found.
        assert_eq!(of("fn f(x: u32) -> u32 { x + 1 }"), 0x7275_7374_5e54_3a06_083e_9066_a725_2f4f_u128.to_be_bytes());
    }
}
