//! Bytes to contact records and row errors, without I/O.
