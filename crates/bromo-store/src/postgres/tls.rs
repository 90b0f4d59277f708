//! TLS to the database. It is asked for in the address, with `sslmode=require`, and then the server must prove who it is:
//! to the system's certificates, or to those of `sslrootcert`. There is no encryption without proof, which only looks safe;
//! so `verify-ca` and `verify-full` mean the same as `require`, and everything else means a plain connection.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, InvalidDnsNameError, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_rustls::TlsConnector;
use url::form_urlencoded;

/// What an address says of TLS, and the address without that.
pub(super) fn split(url: &str) -> Result<(String, Option<Tls>), String> {
    let (address, query) = url.split_once('?').unwrap_or((url, ""));
    let (mut rest, mut wanted, mut roots) = (form_urlencoded::Serializer::new(String::new()), false, None);
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*key {
            "sslmode" => wanted = matches!(&*value, "require" | "verify-ca" | "verify-full"),
            "sslrootcert" => roots = Some(value.into_owned()),
            _ => drop(rest.append_pair(&key, &value)),
        }
    }
    // A space is not a plus there.
    let rest = rest.finish().replace('+', "%20");
    let plain = if rest.is_empty() { address.to_owned() } else { format!("{address}?{rest}") };
    let tls = wanted.then(|| Tls::new(roots.as_deref())).transpose()?;
    Ok((plain, tls))
}

/// Whom to trust.
#[derive(Clone)]
pub(super) struct Tls(Arc<ClientConfig>);

impl Tls {
    /// The certificates of this PEM file, or the system's.
    fn new(file: Option<&str>) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        match file {
            Some(file) => {
                let unreadable =
                    |error: rustls::pki_types::pem::Error| format!("cannot read {file}: {error}");
                for certificate in CertificateDer::pem_file_iter(file).map_err(unreadable)? {
                    let certificate = certificate.map_err(unreadable)?;
                    roots.add(certificate).map_err(|error| format!("{file}: {error}"))?;
                }
            }
            None => {
                let found = rustls_native_certs::load_native_certs();
                roots.add_parsable_certificates(found.certs);
            }
        }
        if roots.is_empty() {
            return Err("TLS to the database needs certificates to trust: install ca-certificates, or name \
                        a file as sslrootcert"
                .to_owned());
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(Arc::new(config)))
    }
}

impl<S> MakeTlsConnect<S> for Tls
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = Stream<S>;
    type TlsConnect = Handshake;
    type Error = InvalidDnsNameError;

    fn make_tls_connect(&mut self, host: &str) -> Result<Handshake, InvalidDnsNameError> {
        let name = ServerName::try_from(host.to_owned())?;
        Ok(Handshake { connector: TlsConnector::from(Arc::clone(&self.0)), name })
    }
}

/// A handshake with one server.
pub(super) struct Handshake {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl<S> TlsConnect<S> for Handshake
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = Stream<S>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Stream<S>>>;

    fn connect(self, stream: S) -> Self::Future {
        async move { Ok(Stream(Box::new(self.connector.connect(self.name, stream).await?))) }.boxed()
    }
}

/// An encrypted connection.
pub(super) struct Stream<S>(Box<tokio_rustls::client::TlsStream<S>>);

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream for Stream<S> {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Stream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::split;

    #[track_caller]
    fn check(url: &str, plain: &str, encrypted: bool) {
        let (rest, tls) = split(url).unwrap();
        assert_eq!((rest.as_str(), tls.is_some()), (plain, encrypted));
    }

    #[test]
    fn an_address_asks_for_tls_or_it_is_plain() {
        check("postgres://u:p%3F@h/d", "postgres://u:p%3F@h/d", false);
        check("postgres://u@h1,h2:5/d?sslmode=prefer", "postgres://u@h1,h2:5/d", false);
        check(
            "postgres://u@h/d?options=-c%20a%3Db&sslmode=disable",
            "postgres://u@h/d?options=-c%20a%3Db",
            false,
        );
        let missing = split("postgres://u@h/d?sslmode=require&sslrootcert=/nowhere.pem").err().unwrap();
        assert!(missing.contains("/nowhere.pem"), "{missing}");
    }
}
