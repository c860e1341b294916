//! URLs and compound overlays become what they are made of. Here the right-by-default options are switched on
//! (`complete`): the plain parts, written by hand, keep the plain behaviour.

use super::super::Plan;
use crate::{
    endpoints::{Endpoint, tcp_connect::TcpConnect, tcp_listen::TcpListen},
    error::{Error, Result},
    overlays::{Overlay, tls::Tls, ws_accept::WsAccept, ws_framer::WsFramer, ws_request::WsRequest},
    spec::{Stack, url::RequestUri},
};

/// A `ws-request:` as typed takes its URI and Host from `--ws-c-uri`.
pub fn request_uris(plan: &mut Plan) -> Result<()> {
    let args = plan.args.clone();
    let Some(uri) = args.overlays.ws_request.uri() else { return Ok(()) };
    for stack in plan.stacks_mut() {
        for overlay in &mut stack.overlays {
            if let Overlay::WsRequest(request) = overlay
                && request.uri == "/"
                && request.host.is_none()
            {
                (request.uri, request.host) = (uri.path_and_query.clone(), uri.host.clone());
                request.authorization = uri.authorization.clone();
            }
        }
    }
    Ok(())
}

/// ws://, wss://, ws-l:, ws-c: and ws-u: wherever they stand.
pub fn compounds(plan: &mut Plan) -> Result<()> {
    let uri = plan.args.overlays.ws_request.uri().cloned();
    for stack in plan.stacks_mut() {
        expand_endpoint(stack)?;
        let overlays = std::mem::take(&mut stack.overlays);
        for overlay in overlays {
            match overlay {
                Overlay::WsConnect(_) => {
                    stack.overlays.push(Overlay::WsRequest(request(uri.clone().unwrap_or_default())));
                    stack.overlays.push(framer(true));
                }
                Overlay::WsServe(_) => {
                    stack.overlays.push(Overlay::WsAccept(WsAccept { complete: true, ..WsAccept::default() }));
                    stack.overlays.push(framer(false));
                }
                other => stack.overlays.push(other),
            }
        }
    }
    Ok(())
}

/// With `--no-fixups` nothing is expanded: what cannot be printed as it is typed is named.
pub fn check(plan: &mut Plan) -> Result<()> {
    for stack in plan.stacks() {
        let endpoint = match &stack.endpoint {
            Endpoint::WsUrl(ws) if ws.url.tls => Some(("wss://", "ws-ll-client:ws-request:tls:tcp:HOST:PORT")),
            Endpoint::WsUrl(_) => Some(("ws://", "ws-ll-client:ws-request:tcp:HOST:PORT")),
            Endpoint::WsListen(_) => Some(("ws-listen:", "ws-ll-server:ws-accept:tcp-listen:HOST:PORT")),
            _ => None,
        };
        let mut compounds = stack.overlays.iter().filter_map(|overlay| match overlay {
            Overlay::WsConnect(_) => Some(("ws-connect:", "ws-ll-client:ws-request:…")),
            Overlay::WsServe(_) => Some(("ws-upgrade:", "ws-ll-server:ws-accept:…")),
            _ => None,
        });
        if let Some((name, parts)) = compounds.next_back().or(endpoint) {
            let text = format!("{name} stands for several parts, and --no-fixups leaves it as it is; write {parts}");
            return Err(Error::usage(text));
        }
    }
    Ok(())
}

fn framer(client: bool) -> Overlay {
    Overlay::WsFramer(WsFramer { client, complete: true, compress: false })
}

fn request(uri: RequestUri) -> WsRequest {
    WsRequest {
        uri: uri.path_and_query,
        host: uri.host,
        authorization: uri.authorization,
        complete: true,
        ..WsRequest::default()
    }
}

fn expand_endpoint(stack: &mut Stack) -> Result<()> {
    let inner = match &stack.endpoint {
        Endpoint::WsUrl(ws) => {
            let (url, target) = (ws.url.clone(), ws.tcp_target());
            stack.endpoint = Endpoint::TcpConnect(TcpConnect { target });
            let mut inner = vec![];
            if url.tls {
                inner.push(Overlay::Tls(Tls { domain: Some(url.authority.host.clone()), connector: None }));
            }
            inner.push(Overlay::WsRequest(WsRequest { by_url: true, ..request(url.into()) }));
            inner.push(framer(true));
            inner
        }
        Endpoint::WsListen(listen) => {
            stack.endpoint = Endpoint::TcpListen(TcpListen { address: listen.address.clone() });
            vec![Overlay::WsAccept(WsAccept { complete: true, ..WsAccept::default() }), framer(false)]
        }
        _ => return Ok(()),
    };
    stack.overlays.splice(0..0, inner);
    Ok(())
}
