//! A world with virtual time, faults and checkers.
