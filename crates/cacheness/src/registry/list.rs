//! A list that only grows. It is read without a lock, because a forked child might inherit a lock that is never
//! released.

use std::sync::OnceLock;

use cacheness_core::Result;

type Link<T> = OnceLock<Box<Node<T>>>;

/// A list that grows at its end.
pub(super) struct List<T> {
    first: Link<T>,
}

struct Node<T> {
    value: T,
    next: Link<T>,
}

impl<T> List<T> {
    pub(super) const fn new() -> Self {
        Self { first: OnceLock::new() }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        std::iter::successors(self.first.get(), |node| node.next.get()).map(|node| &node.value)
    }

    /// Appends `value`, unless `accept` refuses it because of an existing element. Checks every element, including
    /// those that other threads append at the same time.
    pub(super) fn push(&self, value: T, accept: impl Fn(&T, &T) -> Result<()>) -> Result<()> {
        let (mut link, mut node) = (&self.first, Box::new(Node { value, next: OnceLock::new() }));
        loop {
            if let Some(found) = link.get() {
                accept(&node.value, &found.value)?;
                link = &found.next;
            } else if let Err(returned) = link.set(node) {
                node = returned;
            } else {
                return Ok(());
            }
        }
    }
}
