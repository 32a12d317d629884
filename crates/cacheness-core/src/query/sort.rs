//! Sorted pages of entries.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::field::Field;
use super::order;
use crate::error::Result;
use crate::formats::plain::Value;

/// A field by which entries are sorted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sort {
    /// The field.
    pub field: Field,
    /// Whether the largest values come first.
    pub descending: bool,
}

impl Sort {
    /// A field, or `-field` for a descending order.
    ///
    /// # Errors
    /// Those of [`Field::parse`].
    pub fn parse(text: &str) -> Result<Self> {
        let (text, descending) = text.strip_prefix('-').map_or((text, false), |text| (text, true));
        Ok(Self { field: Field::parse(text)?, descending })
    }

    /// Compares two values of the field.
    #[must_use]
    pub fn compare(&self, a: &Value, b: &Value) -> Ordering {
        let order = order::total(a, b);
        if self.descending { order.reverse() } else { order }
    }
}

/// Keeps the first entries of a sorted listing, in memory for as many as are asked for.
#[derive(Debug)]
pub struct Sorter<'a, T> {
    sort: &'a [Sort],
    offset: usize,
    most: usize,
    /// The last one is on top.
    kept: BinaryHeap<Ranked<'a, T>>,
}

/// An entry with its values of the fields.
#[derive(Debug)]
struct Ranked<'a, T> {
    sort: &'a [Sort],
    values: Vec<Value>,
    key: String,
    item: T,
}

impl<'a, T> Sorter<'a, T> {
    /// Of a listing sorted by these fields, then by the key; `offset` entries are left out, and `limit` returned.
    #[must_use]
    pub fn new(sort: &'a [Sort], offset: usize, limit: usize) -> Self {
        Self { sort, offset, most: offset.saturating_add(limit), kept: BinaryHeap::new() }
    }

    /// Adds an entry with its values of the fields; `item` is called if it may be in the result.
    ///
    /// # Errors
    /// Those of `item`.
    pub fn push(&mut self, values: Vec<Value>, key: &str, item: impl FnOnce() -> Result<T>) -> Result<()> {
        if self.kept.len() >= self.most {
            let Some(last) = self.kept.peek() else { return Ok(()) };
            if compare(self.sort, (&values, key), (&last.values, &last.key)).is_ge() {
                return Ok(());
            }
            self.kept.pop();
        }
        self.kept.push(Ranked { sort: self.sort, values, key: key.to_owned(), item: item()? });
        Ok(())
    }

    /// Whether an entry whose first field has this value, and with it every later one, is behind the result. Entries with
    /// an equal value come before it unless there is a key, which then decides between them.
    #[must_use]
    pub fn ends_before(&self, first: &Value, key: Option<&str>) -> bool {
        if self.kept.len() < self.most {
            return false;
        }
        let (Some(last), Some(sort)) = (self.kept.peek(), self.sort.first()) else { return true };
        match sort.compare(first, &last.values[0]) {
            Ordering::Greater => true,
            Ordering::Equal => key.is_some_and(|key| key > last.key.as_str()),
            Ordering::Less => false,
        }
    }

    /// The result.
    #[must_use]
    pub fn finish(self) -> Vec<T> {
        let sorted = self.kept.into_sorted_vec();
        sorted.into_iter().skip(self.offset).map(|ranked| ranked.item).collect()
    }
}

fn compare(sort: &[Sort], (a, key): (&[Value], &str), (b, other): (&[Value], &str)) -> Ordering {
    let values = sort.iter().zip(a.iter().zip(b)).map(|(sort, (a, b))| sort.compare(a, b));
    values.fold(Ordering::Equal, Ordering::then).then_with(|| key.cmp(other))
}

impl<T> Ord for Ranked<'_, T> {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(self.sort, (&self.values, &self.key), (&other.values, &other.key))
    }
}

impl<T> PartialOrd for Ranked<'_, T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Ranked<'_, T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T> Eq for Ranked<'_, T> {}
