//! Typed cache and artifact store (skeleton).
