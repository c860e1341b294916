//! Which WebSockets compress messages (permessage-deflate): servers unless told otherwise, clients when asked to, and a
//! ws:// or wss:// URL in text mode with a real stdio, where somebody reads and types.

use super::super::Plan;
use crate::{error::Result, overlays::Overlay, spec::Stack};

/// Marks whole WebSockets. Parts written by hand stay as they are, and so do handshakes that omit headers.
pub fn pass(plan: &mut Plan) -> Result<()> {
    let options = plan.args.overlays.compress.clone();
    if options.no_compress || plan.args.overlays.handshake.ws_omit_headers {
        return Ok(());
    }
    // One connection that owns a window more is no matter.
    let stdio = plan.stacks().any(Stack::reaches_stdio);
    let prompt = plan.text && stdio;
    for stack in plan.stacks_mut() {
        let mut on = false;
        for overlay in &mut stack.overlays {
            match overlay {
                Overlay::WsRequest(request) if request.complete => {
                    on = options.is_wanted() || prompt && request.by_url;
                    request.compress = on.then(|| options.handshake_options(stdio));
                }
                Overlay::WsAccept(accept) if accept.complete => {
                    on = true;
                    accept.compress = Some(options.handshake_options(false));
                }
                Overlay::WsFramer(framer) if framer.complete => framer.compress = std::mem::take(&mut on),
                _ => {}
            }
        }
    }
    Ok(())
}
