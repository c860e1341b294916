//! One shared TLS connector for all TLS overlays; `--tls-domain` replaces the name that they check.

use super::super::{Plan, Prelude};
use crate::{error::Result, overlays::Overlay};

/// Gives all TLS clients the script variable of one connector.
pub fn pass(plan: &mut Plan) -> Result<()> {
    let domain = plan.args.overlays.tls.domain.clone();
    let (stacks, prelude, names) = plan.stacks_and_prelude();
    let mut connector = None;
    for (i, stack) in stacks.into_iter().enumerate() {
        // Filters and the like keep the names in their URLs.
        let is_side = i < 2;
        for overlay in &mut stack.overlays {
            let Overlay::Tls(tls) = overlay else { continue };
            tls.connector = Some(connector.get_or_insert_with(|| names.fresh("tlsctx")).clone());
            if domain.is_some() && (is_side || tls.domain.is_none()) {
                tls.domain.clone_from(&domain);
            }
        }
    }
    if let Some(connector) = connector {
        prelude.push(Prelude::TlsConnector { connector });
    }
    Ok(())
}
