//! One shared TLS connector for all TLS overlays; `--tls-domain` replaces the name that they check.

use super::super::{Plan, Prelude};
use crate::{error::Result, overlays::Overlay};

/// Gives all TLS clients the script variable of one connector.
pub fn pass(plan: &mut Plan) -> Result<()> {
    let domain = plan.args.overlays.tls.domain.clone();
    let Plan { left, right, prelude, names, .. } = plan;
    let mut connector = None;
    for overlay in [left, right].into_iter().flat_map(|stack| &mut stack.overlays) {
        if let Overlay::Tls(tls) = overlay {
            tls.connector = Some(connector.get_or_insert_with(|| names.fresh("tlsctx")).clone());
            if domain.is_some() {
                tls.domain.clone_from(&domain);
            }
        }
    }
    match connector {
        Some(connector) => prelude.push(Prelude::TlsConnector { connector }),
        None if domain.is_some() => tracing::warn!("--tls-domain has no effect: nothing here uses TLS"),
        None => {}
    }
    Ok(())
}
