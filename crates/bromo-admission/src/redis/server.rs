//! Where a server is, and how a connection to it is made: in clear, or over TLS where the address begins with `rediss://`.
//! Then the server must prove who it is, to the system's certificates or to those of `sslrootcert` in the address, as
//! PostgreSQL must. There is no encryption without proof, which only looks safe.

use std::sync::Arc;
use std::{fmt, io};

use redis::aio::{MultiplexedConnection, PubSub};
use redis::{AsyncConnectionConfig, ConnectionAddr, IntoConnectionInfo, RedisConnectionInfo, RedisResult};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use crate::redis::slots::Range;

/// A server, by its address.
#[derive(Clone)]
pub(crate) struct Server {
    host: String,
    port: u16,
    login: RedisConnectionInfo,
    tls: Option<Tls>,
}

/// Whom to trust, and whom to expect.
#[derive(Clone)]
struct Tls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

impl Server {
    /// Reads `redis[s]://[user[:password]@]host[:port][/db]`, and what is to be trusted.
    pub(crate) fn new(url: &str) -> Result<Self, String> {
        let (address, encrypted) = match url.strip_prefix("rediss://") {
            Some(rest) => (format!("redis://{rest}"), true),
            None => (url.to_owned(), false),
        };
        let parsed = redis::parse_redis_url(&address).ok_or("it is none")?;
        let roots = parsed.query_pairs().find(|(key, _)| key == "sslrootcert").map(|(_, file)| file);
        let info = address.into_connection_info().map_err(|error| error.to_string())?;
        let ConnectionAddr::Tcp(host, port) = info.addr() else { return Err("it names no host".to_owned()) };
        let tls = match (encrypted, roots) {
            (true, roots) => Some(Tls::new(host, roots.as_deref())?),
            (false, Some(_)) => return Err("sslrootcert is for rediss:// alone".to_owned()),
            (false, None) => None,
        };
        Ok(Self { host: host.clone(), port: *port, login: info.redis_settings().clone(), tls })
    }

    /// Another server of the same cluster: reached as this one is.
    pub(crate) fn at(&self, range: &Range) -> Self {
        let host = range.host.clone().unwrap_or_else(|| self.host.clone());
        let tls = self.tls.clone().map(|tls| Tls {
            // A name that is none is no server's: it will not prove that it has it.
            name: ServerName::try_from(host.clone()).unwrap_or(tls.name),
            ..tls
        });
        Self { host, port: range.port, login: self.login.clone(), tls }
    }

    pub(crate) fn is_at(&self, other: &Self) -> bool {
        (&*self.host, self.port) == (&*other.host, other.port)
    }

    /// A connection for commands. It lives as long as the task in the set.
    pub(crate) async fn commands(
        &self,
        config: AsyncConnectionConfig,
        tasks: &mut JoinSet<()>,
    ) -> RedisResult<MultiplexedConnection> {
        let stream = self.connect().await?;
        let (connection, task) = MultiplexedConnection::new_with_config(&self.login, stream, config).await?;
        tasks.spawn(task);
        Ok(connection)
    }

    /// A connection for subscriptions.
    pub(crate) async fn subscriptions(&self) -> RedisResult<PubSub> {
        PubSub::new(&self.login, self.connect().await?).await
    }

    async fn connect(&self) -> io::Result<Box<dyn Duplex>> {
        let stream = TcpStream::connect((&*self.host, self.port)).await?;
        stream.set_nodelay(true)?;
        Ok(match &self.tls {
            Some(tls) => {
                let connector = TlsConnector::from(Arc::clone(&tls.config));
                Box::new(connector.connect(tls.name.clone(), stream).await?)
            }
            None => Box::new(stream),
        })
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl Tls {
    /// The certificates of this PEM file, or the system's.
    fn new(host: &str, file: Option<&str>) -> Result<Self, String> {
        let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
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
            None => _ = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs),
        }
        if roots.is_empty() {
            return Err(
                "TLS to Redis needs certificates to trust: install ca-certificates, or name a file as \
                        sslrootcert"
                    .to_owned(),
            );
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { config: Arc::new(config), name })
    }
}

#[cfg(test)]
mod tests {
    use super::Server;

    #[test]
    fn an_address_asks_for_tls_or_it_is_plain() {
        let plain = Server::new("redis://user:p%3F@counts/1").unwrap();
        assert_eq!((&*plain.host, plain.port, plain.tls.is_some()), ("counts", 6379, false));
        let missing = Server::new("rediss://counts:7000?sslrootcert=/nowhere.pem").err().unwrap();
        assert!(missing.contains("/nowhere.pem"), "{missing}");
    }

    #[test]
    fn certificates_to_trust_without_tls_are_refused() {
        let refused = Server::new("redis://counts?sslrootcert=/nowhere.pem").err().unwrap();
        assert!(refused.contains("rediss://"), "{refused}");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for url in ["", "counts:6379", "http://counts", "redis://", "unix:///run/redis"] {
            assert!(Server::new(url).is_err(), "{url}");
        }
    }
}
