//! Full-text search over descriptions and the texts in the metadata: an index of PostgreSQL on the words of both.

use cacheness_core::backend::Query;
use cacheness_core::entry::EntrySummary;
use cacheness_core::query::{Evaluator, Filter, Subject};
use cacheness_core::{Error, ErrorKind, Result};
use tokio_postgres::types::Type;

use crate::link::Link;
use crate::names::{Names, quoted};
use crate::rows::{self, LAST, SUMMARY};

/// A text without the marks of its letters: `modele` finds `Modèle`.
macro_rules! bare {
    ($text:literal) => {
        concat!("regexp_replace(normalize(", $text, ", NFD), '[\\u0300-\\u036f]+', '', 'g')")
    };
}

/// The words of an entry: those of the description weigh more.
const WORDS: &str = concat!(
    "(setweight(to_tsvector('simple'::regconfig, ",
    bare!("coalesce(description, '')"),
    "), 'A') || setweight(jsonb_to_tsvector('simple'::regconfig, (",
    bare!("coalesce(document, '{}'::jsonb)::text"),
    ")::jsonb, '[\"string\"]'::jsonb), 'B'))"
);

const NAME: &str = "entries_words";

/// Whether there is the index.
pub(crate) fn exists(link: &mut Link, names: &Names) -> Result<bool> {
    let index = names.of(NAME);
    let rows = link.query_once(
        "cannot look for the full-text index",
        "SELECT to_regclass($1) IS NOT NULL",
        &[(&index, Type::TEXT)],
    )?;
    Ok(rows.first().and_then(|row| row.try_get(0).ok()).unwrap_or(false))
}

/// Creates the index; `false` if there is one.
pub(crate) fn create(link: &mut Link, names: &Names) -> Result<bool> {
    if exists(link, names)? {
        return Ok(false);
    }
    let sql = format!("CREATE INDEX {} ON {} USING gin ({WORDS})", quoted(&names.bare(NAME)), names.of("entries"));
    link.batch("cannot create the full-text index", &sql).map(|()| true)
}

/// Removes the index; `false` if there is none.
pub(crate) fn remove(link: &mut Link, names: &Names) -> Result<bool> {
    if !exists(link, names)? {
        return Ok(false);
    }
    let sql = format!("DROP INDEX IF EXISTS {}", names.of(NAME));
    link.batch("cannot remove the full-text index", &sql).map(|()| true)
}

/// The entries that match the text and the filter, the most relevant first.
pub(crate) fn search(
    link: &mut Link,
    names: &Names,
    text: &str,
    query: &Query<'_>,
    limit: usize,
) -> Result<Vec<EntrySummary>> {
    let all = Filter::all();
    let evaluator = Evaluator::new(query.filter.unwrap_or(&all), &[])?;
    if !exists(link, names)? {
        return Err(Error::new(ErrorKind::InvalidInput, "this store has no full-text index")
            .with_hint("create_text_index() makes one, once for the store; so does cacheness index add --text"));
    }
    let words = to_tsquery(text)?;
    // Of two equally relevant entries the smaller key comes first.
    let sql = format!(
        "SELECT {SUMMARY}, pinned FROM {}, to_tsquery('simple'::regconfig, {}) AS q WHERE {WORDS} @@ q \
         ORDER BY ts_rank('{{0, 0.1, 0.5, 1}}', {WORDS}, q) DESC, cache_key",
        names.of("entries"),
        bare!("$1")
    );
    let rows = link.query_once("cannot search the full-text index", &sql, &[(&words, Type::TEXT)])?;
    let mut found = Vec::new();
    for row in &rows {
        let entry = rows::summary(row)?;
        let pinned = row.try_get(LAST).unwrap_or(false);
        let is_meant = entry.entry.key.starts_with(query.prefix)
            && (pinned || !query.pinned)
            && evaluator.matches(&Subject::of(&entry, pinned))?;
        if is_meant {
            found.push(entry);
            if found.len() == limit {
                break;
            }
        }
    }
    Ok(found)
}

/// A part of a query in the form of [`docs/metadata.md`]: words, `"a phrase"`, `pre*`, `OR`, `NOT`, parentheses.
#[derive(Debug, PartialEq)]
enum Token {
    Word(String),
    Phrase(Vec<String>),
    Prefix(String),
    And,
    Or,
    Not,
    Open,
    Close,
}

fn refused(text: &str, what: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, format!("{text:?} is no full-text query: {what}")).with_hint(
        "words are joined by and; \"a phrase\", pre*, OR and NOT are possible; quote a word with signs in it",
    )
}

/// The words of a text: its letters and digits.
fn words(text: &str) -> Vec<String> {
    let parts = text.split(|c: char| !c.is_alphanumeric() && c != '_');
    parts.filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
}

fn tokens(text: &str) -> Result<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        match first {
            '(' | ')' => {
                tokens.push(if first == '(' { Token::Open } else { Token::Close });
                rest = &rest[1..];
            }
            '"' => {
                let end = rest[1..].find('"').ok_or_else(|| refused(text, "a quotation mark is missing"))?;
                let phrase = words(&rest[1..=end]);
                rest = &rest[end + 2..];
                if rest.starts_with('*') && phrase.len() == 1 {
                    rest = &rest[1..];
                    tokens.extend(phrase.into_iter().map(Token::Prefix));
                } else if !phrase.is_empty() {
                    tokens.push(Token::Phrase(phrase));
                }
            }
            c if c.is_alphanumeric() || c == '_' => {
                let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
                let word = &rest[..end];
                rest = &rest[end..];
                if let Some(after) = rest.strip_prefix('*') {
                    rest = after;
                    tokens.push(Token::Prefix(word.to_lowercase()));
                } else {
                    tokens.push(match word {
                        "AND" => Token::And,
                        "OR" => Token::Or,
                        "NOT" => Token::Not,
                        word => Token::Word(word.to_lowercase()),
                    });
                }
            }
            other => return Err(refused(text, &format!("{other:?} has no meaning there"))),
        }
        rest = rest.trim_start();
    }
    Ok(tokens)
}

/// The query in the language of `to_tsquery`: `NOT` stands between what is wanted and what is not.
fn to_tsquery(text: &str) -> Result<String> {
    let tokens = tokens(text)?;
    if tokens.is_empty() {
        return Err(refused(text, "there is no word in it"));
    }
    let mut query = String::new();
    let (mut wants, mut depth) = (true, 0_usize);
    for token in &tokens {
        let is_operand = matches!(token, Token::Word(_) | Token::Phrase(_) | Token::Prefix(_) | Token::Open);
        if is_operand && !wants {
            query.push_str(" & ");
        } else if !is_operand && wants {
            return Err(refused(text, "an operator has nothing before it, or parentheses nothing between them"));
        }
        match token {
            Token::Word(word) => query.push_str(&literal(word)),
            Token::Prefix(word) => query.push_str(&format!("{}:*", literal(word))),
            Token::Phrase(words) => {
                let words: Vec<String> = words.iter().map(|word| literal(word)).collect();
                query.push_str(&format!("({})", words.join(" <-> ")));
            }
            Token::And => query.push_str(" & "),
            Token::Or => query.push_str(" | "),
            Token::Not => query.push_str(" & !"),
            Token::Open => {
                query.push('(');
                depth += 1;
            }
            Token::Close => {
                depth = depth.checked_sub(1).ok_or_else(|| refused(text, "a parenthesis is not opened"))?;
                query.push(')');
            }
        }
        wants = matches!(token, Token::And | Token::Or | Token::Not | Token::Open);
    }
    if wants {
        return Err(refused(text, "it ends with an operator"));
    }
    if depth > 0 {
        return Err(refused(text, "a parenthesis is not closed"));
    }
    Ok(query)
}

fn literal(word: &str) -> String {
    format!("'{}'", word.replace('\'', "''"))
}
