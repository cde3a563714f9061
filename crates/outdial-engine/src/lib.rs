//! The loops: dispatch, runners, closer, resolver.
