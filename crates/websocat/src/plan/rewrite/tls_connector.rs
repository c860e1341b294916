//! One shared TLS connector for all TLS overlays, and the name that each checks: that of `--tls-domain`, of the URL, or else of
//! the TCP server below.

use super::super::{Plan, Prelude};
use crate::{endpoints::Endpoint, error::Result, overlays::Overlay};

/// Gives all TLS clients the script variable of one connector.
pub fn pass(plan: &mut Plan) -> Result<()> {
    let domain = plan.args.overlays.tls.domain.clone();
    let (stacks, prelude, names) = plan.stacks_and_prelude();
    let mut connector = None;
    for (i, stack) in stacks.into_iter().enumerate() {
        // Filters and the like keep the names in their URLs.
        let is_side = i < 2;
        let below = match &stack.endpoint {
            Endpoint::TcpConnect(tcp) => Some(tcp.target.host()),
            _ => None,
        };
        for overlay in &mut stack.overlays {
            let Overlay::Tls(tls) = overlay else { continue };
            tls.connector = Some(connector.get_or_insert_with(|| names.fresh("tlsctx")).clone());
            if domain.is_some() && (is_side || tls.domain.is_none()) {
                tls.domain.clone_from(&domain);
            }
            tls.domain = tls.domain.take().or_else(|| below.clone());
        }
    }
    if let Some(connector) = connector {
        prelude.push(Prelude::TlsConnector { connector });
    }
    Ok(())
}
