//! A stack that many connections share. Passes make it from `reuse-raw:`; it has no prefix of its own.

use crate::{
    error::{Error, Kind, Result},
    spec::{About, EndpointSpec, Form, Listening, Script, SocketKind, Stack, Then, Var},
};
use std::ffi::OsStr;

#[derive(Clone, Debug)]
pub struct Reuser {
    pub inner: Box<Stack>,
    /// Script variable of the object that holds the shared socket.
    pub reuser: Var,
}

impl EndpointSpec for Reuser {
    const FORMS: &'static [Form] = &[];

    fn parse(_: &'static Form, _: &OsStr) -> Result<Self> {
        Err(Error::new(Kind::Start, "a shared socket has no specifier of its own"))
    }

    fn kind(&self) -> Option<SocketKind> {
        Some(SocketKind::Datagram)
    }

    fn explain(&self, _: &About<'_>) -> String {
        "Shares one connection among all clients: what they say goes there in turn, each message from there to one of them:"
            .to_owned()
    }

    fn emit(&self, script: &mut Script, then: &mut Then<'_>) -> Result<()> {
        let slot = script.var("slot");
        let tolerant = script.args.overlays.reuse.reuser_tolerate_torn_msgs;
        let open = format!(
            "{}.maybe_init_then_connect(#{{connect_again: true{}}}, |{slot}| {{",
            self.reuser,
            if tolerant { "" } else { ", disconnect_on_broken_message: true" }
        );
        script.line(&open);
        // The first connection is what is shared; a listener that goes on would never give it.
        script.listening = Listening { autospawn: false, oneshot: true };
        script.indent(&mut |script| {
            self.inner.emit(script, &mut |script, socket| {
                script.line(&format!("{slot}.send({socket})"));
                Ok(())
            })
        })?;
        let socket = script.var("reuseconn");
        script.line(&format!("}}, |{socket}| {{"));
        script.indent(&mut |script| then(script, socket.clone()))?;
        script.line("})");
        Ok(())
    }
}

pub(super) fn register(_: &mut rhai::Engine) {}
