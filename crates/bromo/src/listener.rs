//! Listening sockets: one a thread on the same address, so that the kernel spreads connections.

use std::net::SocketAddr;

use anyhow::Context;
use socket2::{Domain, Protocol, Socket, Type};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4096;

/// `count` listeners on one address; with port 0 they share the port that the first one is given.
pub(crate) fn bind(address: SocketAddr, count: usize) -> anyhow::Result<Vec<std::net::TcpListener>> {
    let taken = || format!("cannot listen on {address}: another program may use it");
    // Shared addresses would let a second bromo join in silence: the first bind is alone.
    let probe = socket(address, false).and_then(|socket| socket.listen(1)).with_context(taken);
    probe?;
    let first = socket(address, true).and_then(listening).with_context(taken)?;
    let address = first.local_addr()?;
    let rest = (1..count).map(|_| socket(address, true).and_then(listening));
    Ok(std::iter::once(Ok(first)).chain(rest).collect::<Result<_, _>>()?)
}

fn socket(address: SocketAddr, shared: bool) -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn listening(socket: Socket) -> std::io::Result<std::net::TcpListener> {
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}
