//! The session with real peers.
