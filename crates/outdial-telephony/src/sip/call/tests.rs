//! Messages and time are played to the machine; what it sends is read with the parser of messages.

mod calling;
mod chance;
mod refused;
mod talking;
mod world;
