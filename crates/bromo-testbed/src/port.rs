//! Ports that nobody listens on.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::Context;

/// A port of the loopback address that was free a moment ago.
pub(crate) fn free() -> anyhow::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    Ok(listener.local_addr()?.port())
}
