//! The backend on a real server: see `server`.

mod conformance;
mod faults;
mod lost;
mod roles;
mod server;
