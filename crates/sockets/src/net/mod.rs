//! Pieces that talk to the operating system: connect, listen, resolve, descriptors, socket options.
