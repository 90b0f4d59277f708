//! The client's socket, shared by the connection that speaks HTTP and the watch for a hang-up.
//!
//! An HTTP server stops looking at a socket while bytes it has already read wait for their turn: a stray line
//! break after a body, or the next request sent ahead. A client that then leaves would go unseen and keep its
//! slot. So while a request is being answered, this reads on in the server's stead, into a bounded buffer that
//! the server is given first, and sees the end.

use std::cell::RefCell;
use std::io::{ErrorKind, IoSlice, Result};
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use hyper::rt::{Read, ReadBufCursor, Write};
use tokio::net::TcpStream;

/// Bytes read ahead at most. A client that sends more before its answer is no longer watched.
const AHEAD_MAX: usize = 16 * 1024;
/// A connection that has ended lingers so long, and takes so many bytes more.
const LINGER_MAX: Duration = Duration::from_secs(2);
const LINGER_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Bytes of one read.
const READ_MAX: usize = 16 * 1024;

thread_local! {
    /// Where reads land before they are handed on: one a thread, not one a connection.
    static SCRATCH: RefCell<[u8; READ_MAX]> = const { RefCell::new([0; READ_MAX]) };
}

/// One end of the shared socket. A clone is the same socket.
#[derive(Clone)]
pub(crate) struct Peer(Arc<Shared>);

struct Shared {
    stream: TcpStream,
    ahead: Mutex<BytesMut>,
    answering: AtomicU32,
}

/// A request is being answered for as long as this lives.
pub(crate) struct Answering(Arc<Shared>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.answering.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Peer {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self(Arc::new(Shared { stream, ahead: Mutex::default(), answering: AtomicU32::new(0) }))
    }

    /// Begins to watch for a hang-up.
    pub(crate) fn answering(&self) -> Answering {
        self.0.answering.fetch_add(1, Ordering::Relaxed);
        Answering(Arc::clone(&self.0))
    }

    /// Reads and drops what the client still sends after the connection has ended. A socket that is closed with
    /// unread bytes resets, and the client loses the response that told it why: a 413 above all.
    pub(crate) async fn linger(&self) {
        let stream = &self.0.stream;
        let drained = async {
            let mut left = LINGER_BYTES_MAX;
            while left > 0 && stream.readable().await.is_ok() {
                match SCRATCH.with_borrow_mut(|scratch| stream.try_read(scratch)) {
                    Ok(0) => return,
                    Ok(read) => left = left.saturating_sub(read),
                    Err(error) if is_not_yet(&error) => {}
                    Err(_) => return,
                }
            }
        };
        let _ = tokio::time::timeout(LINGER_MAX, drained).await;
    }

    /// Ready once the client has left while a request was being answered.
    pub(crate) fn poll_hung_up(&self, context: &mut Context<'_>) -> Poll<()> {
        if self.0.answering.load(Ordering::Relaxed) == 0 {
            return Poll::Pending;
        }
        loop {
            if ready!(self.0.stream.poll_read_ready(context)).is_err() {
                return Poll::Ready(());
            }
            let mut ahead = self.0.ahead.lock().unwrap_or_else(PoisonError::into_inner);
            let room = AHEAD_MAX.saturating_sub(ahead.len()).min(READ_MAX);
            if room == 0 {
                return Poll::Pending;
            }
            let read = SCRATCH.with_borrow_mut(|scratch| {
                let read = self.0.stream.try_read(&mut scratch[..room])?;
                ahead.extend_from_slice(&scratch[..read]);
                Ok::<_, std::io::Error>(read)
            });
            match read {
                Ok(0) => return Poll::Ready(()),
                Ok(_) => context.waker().wake_by_ref(), // The server may wait for just these bytes.
                Err(error) if is_not_yet(&error) => {}
                Err(_) => return Poll::Ready(()),
            }
        }
    }
}

impl Read for Peer {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<Result<()>> {
        let shared = &self.0;
        {
            let mut ahead = shared.ahead.lock().unwrap_or_else(PoisonError::into_inner);
            if !ahead.is_empty() {
                let count = ahead.len().min(buffer.remaining());
                buffer.put_slice(&ahead[..count]);
                ahead.advance(count);
                return Poll::Ready(Ok(()));
            }
        }
        loop {
            ready!(shared.stream.poll_read_ready(context))?;
            let read = SCRATCH.with_borrow_mut(|scratch| {
                let room = READ_MAX.min(buffer.remaining());
                let read = shared.stream.try_read(&mut scratch[..room])?;
                buffer.put_slice(&scratch[..read]);
                Ok(())
            });
            match read {
                Err(error) if is_not_yet(&error) => {}
                read => return Poll::Ready(read),
            }
        }
    }
}

impl Write for Peer {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        self.0.write(context, |stream| stream.try_write(bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(())) // Nothing is kept back.
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(socket2::SockRef::from(&self.0.stream).shutdown(Shutdown::Write))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        self.0.write(context, |stream| stream.try_write_vectored(slices))
    }
}

impl Shared {
    fn write(
        &self,
        context: &mut Context<'_>,
        write: impl Fn(&TcpStream) -> Result<usize>,
    ) -> Poll<Result<usize>> {
        loop {
            ready!(self.stream.poll_write_ready(context))?;
            match write(&self.stream) {
                Err(error) if is_not_yet(&error) => {}
                written => return Poll::Ready(written),
            }
        }
    }
}

fn is_not_yet(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
