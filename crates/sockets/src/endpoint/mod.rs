//! Sockets that exist without the operating system, or with little of it: one file each.
