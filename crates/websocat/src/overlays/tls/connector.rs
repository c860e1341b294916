//! From options of `tls_client_connector` to a rustls configuration: roots, versions, what is checked.
//!
//! Everything is checked unless an option says otherwise, by rustls with the ring provider. In planned scripts one
//! connector serves all connections.

use super::verifier::{AnyCertificate, AnyName};
use crate::error::{Error, Kind, Result};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use rustls::{
    ClientConfig, KeyLog, KeyLogFile, RootCertStore, SupportedProtocolVersion,
    client::WebPkiServerVerifier,
    crypto,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
    version::{TLS12, TLS13},
};
use serde::{Deserialize, Serialize};
use sockets::split::Joined;
use std::{fs::OpenOptions, io, sync::Arc};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Options of `tls_client_connector`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ConnectorOpts {
    /// Lowest TLS version: `tls12` or `tls13`; `ssl3`, `tls10` and `tls11` mean `tls12`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_protocol_version: Option<String>,
    /// Highest TLS version: `tls12` or `tls13`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_protocol_version: Option<String>,
    /// More trusted roots, as PEM.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub root_certificates_pem: Vec<String>,
    /// More trusted roots, as base64 of DER.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub root_certificates_der_base64: Vec<String>,
    /// Do not trust the system's roots.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub disable_built_in_roots: bool,
    /// ALPN names to offer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub request_alpns: Vec<String>,
    /// Take any certificate for any name.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub danger_accept_invalid_certs: bool,
    /// Take a trusted certificate for another name.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub danger_accept_invalid_hostnames: bool,
    /// Do not tell the server the name that is asked for (SNI).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub no_sni: bool,
    /// Append the secrets of connections to the file that the environment variable SSLKEYLOGFILE names, for those who look
    /// into recorded traffic.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub enable_sslkeylog: bool,
}

/// Where secrets are written. That it can be written is tried here: later nobody could be told.
fn key_log() -> Result<Arc<dyn KeyLog>> {
    let Some(path) = std::env::var_os("SSLKEYLOGFILE").filter(|path| !path.is_empty()) else {
        return Err(Error::new(Kind::Tls, "--enable-sslkeylog: the environment variable SSLKEYLOGFILE names no file"));
    };
    OpenOptions::new().append(true).create(true).open(&path).map_err(|e| {
        let path = path.display();
        Error::with_source(Kind::Tls, format!("--enable-sslkeylog: cannot write SSLKEYLOGFILE={path}"), e)
    })?;
    Ok(Arc::new(KeyLogFile::new()))
}

/// Settings for TLS clients, ready for use.
pub struct Connector(TlsConnector);

impl Connector {
    /// Loads the roots, unless no certificate is checked anyway. Reads files: costs some milliseconds.
    pub fn new(options: &ConnectorOpts) -> Result<Self> {
        let provider = Arc::new(crypto::ring::default_provider());
        let versions = versions(options)?;
        let bad = |e: rustls::Error| Error::with_source(Kind::Tls, "TLS settings", e);
        let builder =
            ClientConfig::builder_with_provider(provider.clone()).with_protocol_versions(&versions).map_err(bad)?;
        let builder = if options.danger_accept_invalid_certs {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        } else {
            let roots = Arc::new(roots(options)?);
            let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider).build();
            let verifier = verifier.map_err(|e| Error::with_source(Kind::Tls, "TLS settings: no trusted roots", e))?;
            if options.danger_accept_invalid_hostnames {
                builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyName(verifier)))
            } else {
                builder.with_webpki_verifier(verifier)
            }
        };
        let mut config = builder.with_no_client_auth();
        config.enable_sni = !options.no_sni;
        if options.enable_sslkeylog {
            config.key_log = key_log()?;
        }
        config.alpn_protocols = options.request_alpns.iter().map(|name| name.as_bytes().to_vec()).collect();
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    /// The client handshake over a stream.
    pub(super) async fn connect(&self, name: ServerName<'static>, inner: Joined) -> io::Result<TlsStream<Joined>> {
        self.0.connect(name, inner).await
    }
}

//= 6455-10.6-3
fn versions(options: &ConnectorOpts) -> Result<Vec<&'static SupportedProtocolVersion>> {
    const OLD: [&str; 3] = ["ssl3", "tls10", "tls11"];
    let bad = |text: String| Error::new(Kind::Tls, format!("TLS settings: {text}"));
    let min = match options.min_protocol_version.as_deref() {
        None | Some("tls12") => 2,
        Some("tls13") => 3,
        // Whoever allows older versions allows newer ones.
        Some(old) if OLD.contains(&old) => 2,
        Some(other) => return Err(bad(format!("min_protocol_version `{other}` is none of tls12, tls13"))),
    };
    let max = match options.max_protocol_version.as_deref() {
        None | Some("tls13") => 3,
        Some("tls12") => 2,
        Some(old) if OLD.contains(&old) => {
            return Err(bad(format!("max_protocol_version `{old}`: this program speaks TLS 1.2 and 1.3 only")));
        }
        Some(other) => return Err(bad(format!("max_protocol_version `{other}` is none of tls12, tls13"))),
    };
    let versions: Vec<_> = [(2, &TLS12), (3, &TLS13)].into_iter().filter(|(n, _)| (min..=max).contains(n)).collect();
    if versions.is_empty() {
        return Err(bad("min_protocol_version is higher than max_protocol_version".into()));
    }
    Ok(versions.into_iter().map(|(_, version)| version).collect())
}

fn roots(options: &ConnectorOpts) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    if !options.disable_built_in_roots {
        add_system_roots(&mut roots)?;
    }
    let bad = |what: &str, why: &dyn std::fmt::Display| Error::new(Kind::Tls, format!("TLS settings: {what}: {why}"));
    let mut add = |what: &str, cert: CertificateDer<'static>| roots.add(cert).map_err(|e| bad(what, &e));
    for pem in &options.root_certificates_pem {
        let what = "root_certificates_pem";
        let mut found = false;
        for cert in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            add(what, cert.map_err(|e| bad(what, &e))?)?;
            found = true;
        }
        if !found {
            return Err(bad(what, &"there is no certificate in it"));
        }
    }
    for der in &options.root_certificates_der_base64 {
        let what = "root_certificates_der_base64";
        add(what, BASE64_STANDARD.decode(der.trim()).map_err(|e| bad(what, &e))?.into())?;
    }
    Ok(roots)
}

/// The system's roots, or those of SSL_CERT_FILE and SSL_CERT_DIR; Mozilla's where nothing is configured and nothing found.
fn add_system_roots(roots: &mut RootCertStore) -> Result<()> {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::debug!("trusted roots: {error}");
    }
    if let Some(file) = std::env::var_os("SSL_CERT_FILE")
        && let Err(e) = std::fs::File::open(&file)
    {
        // Roots of SSL_CERT_DIR may do instead, but somebody wanted these.
        tracing::warn!("trusted roots of SSL_CERT_FILE={} cannot be read: {e}", file.display());
    }
    // Systems ship roots that webpki cannot read; the others are still good.
    let (usable, _) = roots.add_parsable_certificates(found.certs);
    if usable > 0 {
        return Ok(());
    }
    let chosen = ["SSL_CERT_FILE", "SSL_CERT_DIR"].into_iter().find_map(|v| Some((v, std::env::var_os(v)?)));
    if let Some((variable, path)) = chosen {
        let why = found.errors.first().map_or_else(|| "there is no certificate in it".to_owned(), ToString::to_string);
        return Err(Error::new(Kind::Tls, format!("trusted roots of {variable}={}: {why}", path.display())));
    }
    tracing::debug!("the system has no trusted roots; using Mozilla's");
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(options: ConnectorOpts) -> String {
        let options = ConnectorOpts { disable_built_in_roots: true, ..options };
        Connector::new(&options).err().unwrap().to_string()
    }

    #[test]
    fn versions_by_name() {
        let pick = |min: Option<&str>, max: Option<&str>| {
            let options = ConnectorOpts {
                min_protocol_version: min.map(str::to_owned),
                max_protocol_version: max.map(str::to_owned),
                ..ConnectorOpts::default()
            };
            versions(&options).map(|v| v.iter().map(|v| v.version).collect::<Vec<_>>()).map_err(|e| e.to_string())
        };
        use rustls::ProtocolVersion::{TLSv1_2, TLSv1_3};
        assert_eq!(pick(None, None), Ok(vec![TLSv1_2, TLSv1_3]));
        assert_eq!(pick(Some("ssl3"), Some("tls12")), Ok(vec![TLSv1_2]));
        assert_eq!(pick(Some("tls13"), None), Ok(vec![TLSv1_3]));
        assert!(pick(None, Some("tls11")).unwrap_err().contains("TLS 1.2 and 1.3 only"));
        assert!(pick(Some("tls13"), Some("tls12")).unwrap_err().contains("higher"));
        assert!(pick(Some("tls9"), None).unwrap_err().contains("tls9"));
    }

    #[test]
    fn bad_roots_are_named() {
        let pem = |text: &str| ConnectorOpts { root_certificates_pem: vec![text.into()], ..Default::default() };
        assert!(error(pem("")).contains("root_certificates_pem: there is no certificate"));
        assert!(error(pem("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")).contains("_pem"));
        let der = ConnectorOpts { root_certificates_der_base64: vec!["?".into()], ..Default::default() };
        assert!(error(der).contains("_der_base64"));
        assert!(error(ConnectorOpts::default()).contains("no trusted roots"));
    }

    #[test]
    fn nothing_is_loaded_where_nothing_is_checked() {
        let options = ConnectorOpts {
            danger_accept_invalid_certs: true,
            root_certificates_pem: vec!["never looked at".into()],
            ..ConnectorOpts::default()
        };
        assert!(Connector::new(&options).is_ok());
    }
}
