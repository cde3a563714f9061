//! Pacing: slots such that no sliding second holds more than CPS first transmissions.
