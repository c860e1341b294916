//! Errors of TLS handshakes in plain words, with what to do about them.

use crate::error::{Error, Kind};
use rustls::{AlertDescription, CertificateError, InvalidMessage};
use std::io;

/// The error of a handshake with `domain`.
pub(super) fn handshake_error(domain: &str, error: io::Error) -> Error {
    let tls = error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>());
    let Some(tls) = tls else {
        let what = format!("TLS with {domain}");
        return if error.kind() == io::ErrorKind::UnexpectedEof {
            Error::new(
                Kind::Tls,
                format!(
                    "{what}: the server closed the connection during the handshake; does it speak TLS on this port?"
                ),
            )
        } else {
            Error::with_source(Kind::Tls, what, error)
        };
    };
    let error = Error::new(Kind::Tls, format!("TLS with {domain}: {}", words(domain, tls)));
    match reason(tls) {
        Some(reason) => error.with_reason(reason),
        None => error,
    }
}

/// What scripts may want to tell apart. Only bytes that cannot begin a record of TLS say that the peer does not speak it.
fn reason(error: &rustls::Error) -> Option<&'static str> {
    match error {
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => Some("not-tls"),
        rustls::Error::InvalidCertificate(_) => Some("certificate"),
        _ => None,
    }
}

fn words(domain: &str, error: &rustls::Error) -> String {
    use rustls::Error as E;
    match error {
        E::InvalidCertificate(e) => format!("{}; -k turns the check off", certificate(domain, e)),
        E::InvalidMessage(_) => "the server does not speak TLS on this port".into(),
        E::PeerIncompatible(_) | E::AlertReceived(AlertDescription::ProtocolVersion) => {
            format!("the server speaks no TLS version or cipher that this program knows ({})", told(error))
        }
        E::AlertReceived(AlertDescription::UnrecognisedName) => {
            "the server does not know this name; --tls-domain gives another one".into()
        }
        E::AlertReceived(AlertDescription::CertificateRequired) => "the server wants a client certificate".into(),
        E::AlertReceived(alert) => format!("the server refused ({})", plain(alert)),
        other => told(other),
    }
}

fn certificate(domain: &str, error: &CertificateError) -> String {
    use CertificateError as C;
    match error {
        C::Expired | C::ExpiredContext { .. } => "the server's certificate has expired".into(),
        C::NotValidYet | C::NotValidYetContext { .. } => {
            "the server's certificate is not valid yet; is this computer's clock right?".into()
        }
        C::UnknownIssuer => {
            "the server's certificate is not signed by a trusted authority (unknown issuer); SSL_CERT_FILE names a file \
             with other trusted roots"
                .into()
        }
        C::NotValidForName => format!("the server's certificate is not for {domain}; --tls-domain gives another name"),
        C::NotValidForNameContext { presented, .. } => {
            let names = names(presented);
            format!("the server's certificate is for {names}, not {domain}; --tls-domain gives another name")
        }
        // A signature by a key that only claims to be the authority's, as self-signed ones with a known name do.
        C::BadSignature => "the server's certificate is not signed by the authority that it names (is it self-signed?)".into(),
        C::Other(e) if e.to_string().contains("CaUsedAsEndEntity") => {
            "the server shows the certificate of an authority as its own, self-signed as it seems; make one with CA:FALSE \
             (openssl req -x509 -addext basicConstraints=CA:FALSE)"
                .into()
        }
        C::Revoked => "the server's certificate has been revoked".into(),
        other => format!("the server's certificate is not right: {}", plain(other)),
    }
}

/// What a library says of an error, without what it says to programmers.
fn told(error: &rustls::Error) -> String {
    use rustls::Error as E;
    match error {
        E::PeerIncompatible(e) => plain(e),
        E::PeerMisbehaved(e) => format!("the server broke the rules of TLS: {}", plain(e)),
        other => other.to_string(),
    }
}

/// The name of a variant as words (`HandshakeFailure { .. }`: "handshake failure"); of one that wraps a text, the text.
fn plain(variant: &impl std::fmt::Debug) -> String {
    let debug = format!("{variant:?}");
    let name =
        debug.split(|c: char| !c.is_ascii_alphanumeric()).find(|part| !matches!(*part, "" | "Other" | "OtherError"));
    let mut out = String::new();
    for c in name.unwrap_or_default().chars() {
        if c.is_ascii_uppercase() && !out.is_empty() {
            out.push(' ');
        }
        out.push(c.to_ascii_lowercase());
    }
    // Of two variants the one with details.
    out.strip_suffix(" context").map(str::to_owned).unwrap_or(out)
}

/// Names in a certificate, as rustls presents them (`DnsName("x")`, `IpAddress(x)`), bounded: they come from the peer.
fn names(presented: &[String]) -> String {
    /// Some certificates have hundreds of names.
    const MOST: usize = 4;
    let bare = |name: &String| {
        let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(name);
        let name = inner.trim_matches('"');
        name.chars().filter(|c| !c.is_control()).take(253).collect::<String>()
    };
    let mut names: Vec<_> = presented.iter().take(MOST).map(bare).collect();
    if names.is_empty() {
        return "no name at all".into();
    }
    if presented.len() > MOST {
        names.push("…".into());
    }
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn each_failure_says_what_to_do() {
        let cases = [
            (rustls::Error::InvalidCertificate(CertificateError::Expired), "expired; -k"),
            (rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer), "SSL_CERT_FILE"),
            (rustls::Error::InvalidCertificate(CertificateError::NotValidForName), "--tls-domain"),
            (rustls::Error::InvalidCertificate(CertificateError::BadSignature), "self-signed"),
            (rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType), "does not speak TLS"),
            (rustls::Error::AlertReceived(AlertDescription::HandshakeFailure), "refused (handshake failure)"),
        ];
        for (error, says) in cases {
            let e = handshake_error("h", io::Error::new(io::ErrorKind::InvalidData, error));
            assert!(e.to_string().starts_with("TLS with h: ") && e.to_string().contains(says), "{e} / {says}");
            let reason = match says {
                "does not speak TLS" => "not-tls",
                "refused (handshake failure)" => "tls",
                _ => "certificate",
            };
            assert_eq!((e.kind, e.reason()), (Kind::Tls, reason));
        }
        let e = handshake_error("h", io::ErrorKind::UnexpectedEof.into());
        assert!(e.to_string().contains("closed the connection") && e.reason() == "tls", "{e}");
    }

    #[test]
    fn nothing_is_said_as_to_programmers() {
        let context = CertificateError::UnsupportedSignatureAlgorithmContext {
            signature_algorithm_id: vec![6, 8],
            supported_algorithms: vec![],
        };
        let other = rustls::OtherError(std::sync::Arc::new(rustls::Error::EncryptError));
        for (error, says) in [
            (rustls::Error::InvalidCertificate(context), "not right: unsupported signature algorithm; -k"),
            (rustls::Error::InvalidCertificate(CertificateError::Other(other)), "not right: encrypt error; -k"),
            (rustls::PeerIncompatible::NoCipherSuitesInCommon.into(), "(no cipher suites in common)"),
            (rustls::PeerMisbehaved::TooManyEmptyFragments.into(), "of TLS: too many empty fragments"),
        ] {
            let e = handshake_error("h", io::Error::new(io::ErrorKind::InvalidData, error)).to_string();
            assert!(e.contains(says) && !e.contains(['{', '[']), "{e} / {says}");
        }
    }

    #[test]
    fn names_of_a_certificate_are_bounded() {
        let presented: Vec<_> = (0..9).map(|i| format!("DnsName(\"h{i}.example\")")).collect();
        assert_eq!(names(&presented), "h0.example, h1.example, h2.example, h3.example, …");
        assert_eq!(names(&[]), "no name at all");
    }
}
