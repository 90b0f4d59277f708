//! Upstreams for tests: real sockets on the loopback address, with every byte in the test's hand.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A server that hands each connection, with its number from 0, to a script.
pub(crate) struct Upstream {
    pub(crate) authority: String,
    connections: Arc<AtomicUsize>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Upstream {
    pub(crate) async fn scripted<F>(script: impl Fn(usize, Peer) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::scripted_at("127.0.0.1", script).await
    }

    /// The same at another address of the loopback network.
    pub(crate) async fn scripted_at<F>(ip: &str, script: impl Fn(usize, Peer) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind((ip, 0)).await.unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        let accepting = tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let number = counter.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(script(number, Peer { tcp, read: Vec::new() }));
            }
        });
        Self { authority, connections, accepting }
    }

    /// Answers every request on every connection with the same bytes.
    pub(crate) async fn saying(response: impl Into<Vec<u8>>) -> Self {
        Self::saying_at("127.0.0.1", response).await
    }

    /// The same at another address of the loopback network.
    pub(crate) async fn saying_at(ip: &str, response: impl Into<Vec<u8>>) -> Self {
        let response: Arc<[u8]> = response.into().into();
        Self::scripted_at(ip, move |_, mut peer| {
            let response = Arc::clone(&response);
            async move {
                while peer.request().await.is_some() {
                    peer.say(&response).await;
                }
            }
        })
        .await
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.authority)
    }

    pub(crate) fn address(&self) -> std::net::SocketAddr {
        self.authority.parse().unwrap()
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// The server's end of a connection.
pub(crate) struct Peer {
    tcp: TcpStream,
    read: Vec<u8>,
}

impl Peer {
    /// The next request, head and body; none once the client has closed.
    pub(crate) async fn request(&mut self) -> Option<String> {
        loop {
            let text = String::from_utf8_lossy(&self.read).into_owned();
            if let Some(head) = text.find("\r\n\r\n").map(|end| end + 4) {
                let length: usize = text[..head]
                    .lines()
                    .find_map(|line| line.to_lowercase().strip_prefix("content-length:")?.trim().parse().ok())
                    .unwrap_or(0);
                if self.read.len() >= head + length {
                    let request = self.read.drain(..head + length).collect();
                    return Some(String::from_utf8(request).unwrap());
                }
            }
            if self.tcp.read_buf(&mut self.read).await.unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    /// Sends bytes as they are; what the client does not take is its own affair.
    pub(crate) async fn say(&mut self, bytes: &[u8]) {
        let _ = self.tcp.write_all(bytes).await;
        let _ = self.tcp.flush().await;
    }
}

/// A response with a length.
pub(crate) fn response(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n{body}", body.len())
}

/// A body cut into chunks of the transfer encoding, without the last one.
pub(crate) fn chunked<'a>(headers: &str, pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 200 OK\r\n{headers}transfer-encoding: chunked\r\n\r\n").into_bytes();
    for piece in pieces.into_iter().filter(|piece| !piece.is_empty()) {
        bytes.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        bytes.extend_from_slice(piece);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// A TLS server for this name that answers each read with the same bytes: its port, and a configuration
/// that trusts it.
pub(crate) async fn tls_upstream(name: &str, said: String) -> (u16, Arc<rustls::ClientConfig>) {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let Ok(mut tls) = acceptor.accept(tcp).await else { continue };
            let mut read = [0; 1024];
            while matches!(tls.read(&mut read).await, Ok(1..)) {
                tls.write_all(said.as_bytes()).await.unwrap();
                tls.flush().await.unwrap();
            }
        }
    });
    (port, crate::client::tls_config_with(roots).unwrap())
}
