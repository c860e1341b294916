//! `tls:` and its native functions: a TLS client over any byte stream, by rustls (TLS 1.2 and 1.3).
//!
//! Certificates and the server's name are checked unless the user says otherwise. [`connector`] turns options into a rustls
//! configuration, [`verifier`] is what it leaves of the checks, [`explain`] turns its errors into plain words, [`stream`] is the
//! protected socket.

mod connector;
mod explain;
mod stream;
#[cfg(test)]
mod tests;
mod verifier;

pub use connector::{Connector, ConnectorOpts};

use crate::{
    error::{Error, Kind, Result, shown},
    register,
    scenario::{Callback, Flow, Handle, OptsReader, RhFn, RhOpts, RhResult, Take, TaskHandle, handle, task, throw},
    spec::{About, Form, OptionMap, OverlaySpec, Script, Then, Var, Wraps, time_in_words},
};
use rhai::{Engine, NativeCallContext};
use rustls::pki_types::ServerName;
use serde::{Deserialize, Serialize};
use sockets::{socket::StreamSocket, split::Joined};
use std::{sync::Arc, time::Duration};

/// The overlay.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// Name of the server. A bare `tls:` has none until a pass takes that of the address below.
    pub domain: Option<String>,
    /// The script variable with the shared connector; None: one of its own is made.
    pub connector: Option<Var>,
}

/// TLS options as typed.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct TlsArgs {
    /// Do not check the certificate and the name of a TLS server
    #[arg(long, short = 'k')]
    pub insecure: bool,
    /// Host name to ask a TLS server for (SNI) and to check its certificate against
    #[arg(long = "tls-domain", value_name = "NAME", value_parser = domain)]
    pub domain: Option<String>,
    /// Append the secrets of TLS connections to the file that SSLKEYLOGFILE names, for programs that look into traffic
    #[arg(long)]
    pub enable_sslkeylog: bool,
}

fn domain(text: &str) -> Result<String, String> {
    server_name(text).map(|_| text.to_owned())
}

/// Name of the server when nobody said it and it has none, as behind a UNIX socket; no certificate is valid for it.
const NO_DOMAIN: &str = "nodomain";

/// Options of `tls_client`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ClientOpts {
    /// Host name or IP address that the server is asked for (SNI) and that its certificate must be valid for.
    pub domain: String,
    /// Time for the handshake, in milliseconds; no limit when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
}

impl TlsArgs {
    /// Options of the connector that all TLS overlays share.
    pub fn connector_options(&self) -> ConnectorOpts {
        ConnectorOpts {
            danger_accept_invalid_certs: self.insecure,
            danger_accept_invalid_hostnames: self.insecure,
            enable_sslkeylog: self.enable_sslkeylog,
            ..ConnectorOpts::default()
        }
    }
}

impl OverlaySpec for Tls {
    const FORMS: &'static [Form] = &[Form {
        name: "tls",
        prefixes: &[
            "tls:",
            "ssl-connect:",
            "ssl-c:",
            "ssl:",
            "tls-connect:",
            "tls-c:",
            "c-ssl:",
            "connect-ssl:",
            "c-tls:",
            "connect-tls:",
        ],
        value: "",
        doc: "TLS client over any byte stream. The certificate has to be for the host of the address below \
              or for --tls-domain; -k turns all checks off.",
    }];
    const WRAPS: Wraps = Wraps::Stream;

    fn explain(&self, about: &About<'_>) -> String {
        let args = &about.args.overlays.tls;
        let name = args.domain.as_ref().or(self.domain.as_ref());
        let whom = name.map(|name| format!(" with {name}")).unwrap_or_default();
        let limit = about.args.overlays.handshake.timeout_ms();
        let limit = limit.map(|ms| format!(" within {}", time_in_words(ms))).unwrap_or_default();
        if args.insecure {
            return format!(
                "Encrypts with TLS{whom}{limit}. The certificate is NOT checked (-k): anybody may be at the other end."
            );
        }
        format!("Encrypts with TLS{whom}{limit}; the certificate must be valid.")
    }

    fn emit(&self, script: &mut Script, inner: Var, then: &mut Then<'_>) -> Result<()> {
        let overlays = &script.args.overlays;
        let options = OptionMap::of(&ClientOpts {
            domain: self.domain.clone().unwrap_or_else(|| NO_DOMAIN.to_owned()),
            timeout_ms: overlays.handshake.timeout_ms(),
        })?;
        let call = format!("tls_client_connector({})", OptionMap::of(&overlays.tls.connector_options())?);
        let connector = self.connector.clone().unwrap_or_else(|| script.assign("tlsctx", &call));
        script.callback(&format!("tls_client({options}, {connector}, {inner},"), "tls", then)
    }
}

/// Settings for TLS clients, to be used any number of times. Trusted roots are those of the system (or of SSL_CERT_FILE and
/// SSL_CERT_DIR), or Mozilla's where the system has none.
fn tls_client_connector(opts: RhOpts<ConnectorOpts>) -> RhResult<Arc<Connector>> {
    let options: ConnectorOpts = OptsReader::read(opts)?;
    Connector::new(&options).map(Arc::new).map_err(throw)
}

/// TLS client handshake over a stream socket; the protected socket goes to the callback.
fn tls_client(
    ctx: NativeCallContext<'_>,
    opts: RhOpts<ClientOpts>,
    connector: Arc<Connector>,
    inner: Handle<StreamSocket>,
    continuation: RhFn<(Handle<StreamSocket>,)>,
) -> RhResult<TaskHandle> {
    let options: ClientOpts = OptsReader::read(opts)?;
    let name = server_name(&options.domain)
        .map_err(|why| throw(Error::new(Kind::Tls, format!("TLS: {why}; --tls-domain gives another name"))))?;
    let continuation = Callback::new(&ctx, continuation)?;
    let socket = inner.take("socket")?;
    Ok(task(async move {
        let limit = options.timeout_ms.map(Duration::from_millis);
        let socket = handshake(socket, &connector, name, &options.domain, limit).await?;
        Ok(Flow::Then(continuation.task((handle(socket),))?))
    }))
}

/// An IP address, with or without brackets, or a DNS name.
fn server_name(text: &str) -> Result<ServerName<'static>, String> {
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    ServerName::try_from(bare.to_owned()).map_err(|_| format!("`{}` is not a host name", shown(text.as_bytes())))
}

//= 6455-4.1-11
//= 6455-4.1-12
//= 6455-4.1-13
//= 6455-4.1-14
//= 6455-10.6-1
async fn handshake(
    socket: StreamSocket,
    connector: &Connector,
    name: ServerName<'static>,
    domain: &str,
    limit: Option<Duration>,
) -> Result<StreamSocket> {
    let StreamSocket { read: Some(read), write: Some(write), hangup, link, mut info } = socket else {
        return Err(Error::new(Kind::Start, "TLS needs a socket with both directions"));
    };
    let connecting = connector.connect(name, Joined::new(read, write));
    let result = match limit {
        None => connecting.await,
        Some(limit) => match tokio::time::timeout(limit, connecting).await {
            Ok(result) => result,
            Err(_) => {
                let text =
                    format!("TLS with {domain}: no handshake within {limit:?}; --handshake-timeout sets this limit");
                return Err(Error::new(Kind::HandshakeTimeout, text));
            }
        },
    };
    let protected = result.map_err(|e| explain::handshake_error(domain, e))?;
    Arc::make_mut(&mut info).tls_server_name = Some(domain.into());
    let (read, write) = stream::split(protected);
    Ok(StreamSocket { read: Some(Box::new(read)), write: Some(Box::new(write)), hangup, link, info })
}

pub(super) fn register(engine: &mut Engine) {
    engine.register_type_with_name::<Arc<Connector>>("TlsConnector");
    register!(engine, tls_client_connector, tls_client);
}
