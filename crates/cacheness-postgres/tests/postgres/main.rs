//! The backend on a real server: see `server`.

mod conformance;
mod faults;
mod roles;
mod server;
