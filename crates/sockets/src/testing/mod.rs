//! Test kit: scripted sockets, a pair in memory, the chopper.
