//! Conformance suites that every backend of cacheness passes, and their tools.
//!
//! A backend's own tests call a suite with a factory; a failed check panics with its name. See [`conformance`].
//!
//! | module | is for |
//! |---|---|
//! | [`conformance`] | the behaviour of every backend |
//! | [`child`] | forked processes |
//! | [`sample`] | entries to test with |
//! | [`ext`] | one method per operation of a metadata backend |
//! | [`faulty`] | backends that fail at a chosen call |
//! | [`latency`] | remote backends: round trips are counted |
//! | [`objects`] | an object store that promises no more than S3 |
//! | [`proxy`] | connections that are cut, delayed, and whose answers are lost |
//! | [`s3`] | a server of S3 in this process, which can misbehave |
//! | [`syscalls`] | failing any system call of the real backends |
//! | [`power`] | the state of the disk after a loss of power |

pub mod child;
pub mod conformance;
pub mod ext;
pub mod faulty;
pub mod latency;
pub mod objects;
pub mod power;
pub mod proxy;
pub mod s3;
pub mod sample;
pub mod syscalls;
