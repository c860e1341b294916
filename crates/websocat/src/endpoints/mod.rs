//! The list of endpoints. Everything about one endpoint lives in its own file; this file only lists them.

use crate::{
    error::Result,
    spec::{EndpointSpec, Form, Script, SocketKind, Then},
};
use std::ffi::OsStr;

mod literal;

endpoints! {
    literal::Literal,
}

/// Command line options that belong to one endpoint each.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct EndpointArgs {}

/// Builds the enum, the prefix table, the dispatch and the registration from the list above.
macro_rules! endpoints {
    ($($(#[$cfg:meta])* $module:ident :: $Variant:ident,)*) => {
        /// The innermost part of a specifier stack.
        #[derive(Clone, Debug)]
        pub enum Endpoint {
            $( $(#[$cfg])* $Variant($module::$Variant), )*
        }

        type Parse = fn(&'static Form, &OsStr) -> Result<Endpoint>;

        /// All forms of all endpoints with their parsers.
        pub const TABLE: &[(&[Form], Parse)] = &[
            $( $(#[$cfg])* ($module::$Variant::FORMS, |form, value| {
                Ok(Endpoint::$Variant($module::$Variant::parse(form, value)?))
            }), )*
        ];

        impl Endpoint {
            pub fn kind(&self) -> Option<SocketKind> {
                match self { $( $(#[$cfg])* Self::$Variant(x) => x.kind(), )* }
            }
            pub fn is_listener(&self) -> bool {
                match self { $( $(#[$cfg])* Self::$Variant(x) => x.is_listener(), )* }
            }
            pub fn is_single(&self) -> bool {
                match self { $( $(#[$cfg])* Self::$Variant(x) => x.is_single(), )* }
            }
            pub fn emit(&self, script: &mut Script, then: &mut Then<'_>) -> Result<()> {
                match self { $( $(#[$cfg])* Self::$Variant(x) => x.emit(script, then), )* }
            }
        }

        /// Makes the native functions of all endpoints known to a script engine.
        pub fn register(engine: &mut rhai::Engine) {
            $( $(#[$cfg])* $module::register(engine); )*
        }
    };
}
use endpoints;

impl Endpoint {
    /// Standard input and output.
    pub fn is_stdio(&self) -> bool {
        matches!(self, Self::Stdio(_))
    }

    /// A network connection or a process: where a traffic log shows something.
    pub fn is_external(&self) -> bool {
        matches!(self, Self::TcpConnect(_) | Self::TcpListen(_) | Self::Process(_))
    }

    /// Something to leave in a place for the moment.
    pub fn placeholder() -> Self {
        Self::Zero(zero::Zero)
    }
}
