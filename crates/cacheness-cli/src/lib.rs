//! The `cacheness` command (skeleton).
