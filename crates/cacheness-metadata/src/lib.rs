//! SQLite metadata backend (skeleton).
