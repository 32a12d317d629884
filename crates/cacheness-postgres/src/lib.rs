//! PostgreSQL metadata backend of cacheness.
