//! The list of overlays. Everything about one overlay lives in its own file; this file only lists them.

use crate::{
    error::Result,
    spec::{Form, OverlaySpec, Script, SocketKind, Then, Var},
};

mod log;

overlays! {
    log::Log,
}

/// Command line options that belong to one overlay each.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct OverlayArgs {}

/// Builds the enum, the prefix table, the dispatch and the registration from the list above.
macro_rules! overlays {
    ($($(#[$cfg:meta])* $module:ident :: $Variant:ident,)*) => {
        /// One layer of a specifier stack.
        #[derive(Clone, Debug)]
        pub enum Overlay {
            $( $(#[$cfg])* $Variant($module::$Variant), )*
        }

        type Parse = fn(&'static Form) -> Result<Overlay>;

        /// All forms of all overlays with their parsers.
        pub const TABLE: &[(&[Form], Parse)] = &[
            $( $(#[$cfg])* ($module::$Variant::FORMS, |form| {
                Ok(Overlay::$Variant($module::$Variant::parse(form)?))
            }), )*
        ];

        impl Overlay {
            pub fn takes(&self) -> Option<SocketKind> {
                match self { $( $(#[$cfg])* Self::$Variant(x) => x.takes(), )* }
            }
            pub fn gives(&self, inner: SocketKind) -> SocketKind {
                match self { $( $(#[$cfg])* Self::$Variant(x) => x.gives(inner), )* }
            }
            pub fn emit(&self, script: &mut Script, inner: Var, then: &mut Then<'_>) -> Result<()> {
                match self { $( $(#[$cfg])* Self::$Variant(x) => x.emit(script, inner, then), )* }
            }
        }

        /// Makes the native functions of all overlays known to a script engine.
        pub fn register(engine: &mut rhai::Engine) {
            $( $(#[$cfg])* $module::register(engine); )*
        }
    };
}
use overlays;
