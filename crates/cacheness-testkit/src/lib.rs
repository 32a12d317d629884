//! Conformance suites that every backend of cacheness passes, and what they are made of.
//!
//! A backend's own tests call a suite with a factory; a failed check panics with its name. See [`conformance`].
//!
//! | module | is for |
//! |---|---|
//! | [`conformance`] | what every backend does |
//! | [`child`] | forked processes |
//! | [`sample`] | entries to test with |
//! | [`ext`] | one method for each operation of a metadata backend |
//! | [`faulty`] | backends of which any one call fails |
//! | [`latency`] | backends that are far away: round trips are counted |
//! | [`objects`] | an object store that promises no more than S3 |
//! | [`syscalls`] | any one system call of the real backends fails |
//! | [`power`] | what is left on the disk when the power goes |

pub mod child;
pub mod conformance;
pub mod ext;
pub mod faulty;
pub mod latency;
pub mod objects;
pub mod power;
pub mod sample;
pub mod syscalls;
