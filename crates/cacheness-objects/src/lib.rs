//! Object stores as blob backends of cacheness.
