//! A port that can refuse connections for a while and remains ours.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;
/// Other programs take free ports too.
const PORTS_TRIED_MAX: u32 = 5;

/// A bound socket. While it does not listen the kernel refuses whoever comes, and nobody else can take the port.
pub(super) struct Listening {
    socket: Socket,
    /// The same socket, while it listens.
    listener: Option<TcpListener>,
}

impl Listening {
    pub(super) fn start() -> io::Result<Self> {
        let mut tried = 1;
        loop {
            // The kernel keeps a port for a socket that stops to listen only if it was asked for by number.
            let any = bound(0)?.local_addr()?.as_socket().map_or(0, |address| address.port());
            match bound(any) {
                Ok(socket) => {
                    // Connections that ended a moment ago do not keep the port from listening again.
                    socket.set_reuse_address(true)?;
                    socket.listen(BACKLOG)?;
                    return Ok(Self { socket, listener: None });
                }
                Err(error) if tried == PORTS_TRIED_MAX => return Err(error),
                Err(_) => tried += 1,
            }
        }
    }

    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()?.as_socket().ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
    }

    /// From now on connections are refused; those that waited are reset.
    pub(super) fn refuse(&mut self) {
        self.listener = None;
        drop(self.socket.shutdown(std::net::Shutdown::Read));
    }

    /// The next caller; listens again if it did not.
    pub(super) async fn accept(&mut self) -> io::Result<TcpStream> {
        let listener = match self.listener.take() {
            Some(listener) => listener,
            None => {
                self.socket.listen(BACKLOG)?;
                TcpListener::from_std(self.socket.try_clone()?.into())?
            }
        };
        Ok(self.listener.insert(listener).accept().await?.0)
    }
}

fn bound(port: u16) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
    Ok(socket)
}
