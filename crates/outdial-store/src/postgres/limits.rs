//! (its owner writes it)
