//! One connection: two sockets and what is on its way between them.

use std::future::pending;
use std::io::{self, ErrorKind};
use std::mem::MaybeUninit;
use std::net::{Shutdown, SocketAddr};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::{Callers, Cut, Mode};

/// What is read at once.
const CHUNK_BYTES_MAX: usize = 64 * 1024;
/// Chunks on their way; past it the sender has to wait.
const CHUNKS_MAX: usize = 256;

/// Joins a caller with the target until both have said all, one of them is gone, or the link is cut.
pub(super) async fn join(
    caller: TcpStream,
    target: SocketAddr,
    mut modes: watch::Receiver<Mode>,
    callers: Arc<Callers>,
) {
    let caller = Arc::new(caller);
    tokio::select! {
        biased;
        () = resetting(modes.clone()) => {}
        result = talk(&caller, target, &mut modes, &callers) => if result.is_ok() { return },
    }
    // Whoever is not told by a reset would take a cut for a polite end.
    drop(SockRef::from(&*caller).set_linger(Some(Duration::ZERO)));
}

async fn talk(
    caller: &Arc<TcpStream>,
    target: SocketAddr,
    modes: &mut watch::Receiver<Mode>,
    callers: &Callers,
) -> io::Result<()> {
    arrival(Instant::now(), modes).await;
    let target = TcpStream::connect(target).await?;
    caller.set_nodelay(true)?;
    target.set_nodelay(true)?;
    let seen_as = target.local_addr()?;
    let lock = || callers.sockets.lock().unwrap_or_else(PoisonError::into_inner);
    lock().insert(seen_as, Arc::downgrade(caller));
    let ends = tokio::select! {
        biased;
        () = resetting(modes.clone()) => Err(ErrorKind::ConnectionReset.into()),
        ends = async { tokio::try_join!(carry(caller, &target, modes.clone()), carry(&target, caller, modes.clone())) } => ends,
    };
    lock().remove(&seen_as);
    if ends.is_err() {
        drop(SockRef::from(&target).set_linger(Some(Duration::ZERO)));
    }
    ends.map(|_| ())
}

/// Carries bytes one way, each chunk as late as the link then says, and at last the end.
async fn carry(from: &TcpStream, to: &TcpStream, mut modes: watch::Receiver<Mode>) -> io::Result<()> {
    let (sender, mut on_their_way) = mpsc::channel::<(Instant, Vec<u8>)>(CHUNKS_MAX);
    let read = async move {
        let mut buffer = vec![0; CHUNK_BYTES_MAX];
        loop {
            from.readable().await?;
            match from.try_read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => drop(sender.send((Instant::now(), buffer[..count].to_vec())).await),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    };
    let write = async {
        while let Some((sent, chunk)) = on_their_way.recv().await {
            arrival(sent, &mut modes).await;
            let mut left = &chunk[..];
            while !left.is_empty() {
                to.writable().await?;
                match to.try_write(left) {
                    Ok(count) => left = &left[count..],
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error),
                }
            }
        }
        arrival(Instant::now(), &mut modes).await;
        // The other may be gone already.
        drop(SockRef::from(to).shutdown(Shutdown::Write));
        Ok(())
    };
    tokio::try_join!(read, write).map(|_| ())
}

/// Waits until what was sent at `sent` arrives.
async fn arrival(sent: Instant, modes: &mut watch::Receiver<Mode>) {
    loop {
        let mode = *modes.borrow_and_update();
        let wait = async {
            match mode {
                Mode::Open(Duration::ZERO) => {}
                Mode::Open(delay) => sleep_until(sent + delay).await,
                Mode::Cut(_) | Mode::Ended => pending().await,
            }
        };
        tokio::select! {
            biased;
            () = wait => return,
            _ = modes.changed() => {}
        }
    }
}

/// Comes when the link is cut so that it is felt.
async fn resetting(mut modes: watch::Receiver<Mode>) {
    let cut = |mode: &Mode| matches!(mode, Mode::Cut(Cut::Reset) | Mode::Ended);
    drop(modes.wait_for(cut).await);
}

/// Whether the other end of this socket is open, as far as the kernel has heard.
pub(super) fn is_open(socket: &TcpStream) -> bool {
    match SockRef::from(socket).peek(&mut [MaybeUninit::uninit()]) {
        Ok(bytes) => bytes > 0,
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    }
}
