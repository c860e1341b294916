//! What a specifier is: forms, kinds, stacks, and the writer of script text.
//!
//! An endpoint makes a socket, overlays wrap it. Both are described by data ([`Form`]) and by two traits whose `emit` is
//! given what comes inside the bracket, so that one function opens and closes it.

mod about;
mod form;
mod literal;
mod script;
mod stack;
pub mod url;

pub use about::{About, bytes_in_words, duration_in_words, time_in_words};
pub use form::{EndpointSpec, Form, OverlaySpec, SocketKind, Wraps};
pub use literal::{os_literal, string_literal};
pub use script::{Listening, OptionMap, Script, Then, Var};
pub use stack::{Stack, emit_together};
