//! What happens on a simulated call, by the last two digits of the number dialed.
