//! Drives a libssh2 session by the readiness of its socket.
//!
//! libssh2 reads behind tokio's back: the readiness is taken *first*, then the operation is tried, and on EAGAIN only
//! the readiness that the session waits for is cleared. The other order loses wake-ups.

use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::net::{Shutdown, shutdown};
use ssh2::{BlockDirections, ErrorCode, Session};
use tokio::io::{Interest, Ready};
use tokio::net::{TcpStream, UnixStream};

/// libssh2's "would block".
const EAGAIN: i32 = -37;
/// libssh2's "the socket can't be read".
const SOCKET_RECV: i32 = -43;
/// A session that would block on nothing is looked at again after this long.
const NOTHING_TO_WAIT_FOR: Duration = Duration::from_millis(20);

/// The connected socket below a session.
pub enum Socket {
    Tcp(TcpStream),
    /// To a jump host's channel or a proxy command.
    Unix(UnixStream),
}

impl Socket {
    pub fn tcp(stream: std::net::TcpStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Socket::Tcp(TcpStream::from_std(stream)?))
    }

    pub fn unix(stream: std::os::unix::net::UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Socket::Unix(UnixStream::from_std(stream)?))
    }

    async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        match self {
            Socket::Tcp(stream) => stream.ready(interest).await,
            Socket::Unix(stream) => stream.ready(interest).await,
        }
    }

    /// Runs `attempt` if the socket has this readiness, and clears it where the attempt says that it would block.
    fn try_io(&self, interest: Interest, attempt: impl FnOnce() -> io::Result<()>) {
        // The attempt keeps its own result; this one only steers the readiness.
        let _ = match self {
            Socket::Tcp(stream) => stream.try_io(interest, attempt),
            Socket::Unix(stream) => stream.try_io(interest, attempt),
        };
    }

    fn shut(&self) {
        let shut = match self {
            Socket::Tcp(stream) => shutdown(stream.as_fd(), Shutdown::Both),
            Socket::Unix(stream) => shutdown(stream.as_fd(), Shutdown::Both),
        };
        // A socket that the other side closed already needs no more shutting.
        let _ = shut;
    }
}

/// A session and the readiness of its socket. Dropping it shuts the socket and frees the session without leaking.
pub struct Driver {
    pub session: Session,
    socket: Socket,
    lent: AtomicBool,
}

impl Driver {
    /// Takes a connected socket.
    pub fn new(socket: Socket) -> io::Result<Self> {
        let mut session = Session::new()?;
        match &socket {
            Socket::Tcp(stream) => session.set_tcp_stream(stream.as_fd().try_clone_to_owned()?),
            Socket::Unix(stream) => session.set_tcp_stream(stream.as_fd().try_clone_to_owned()?),
        }
        session.set_blocking(false);
        Ok(Self { session, socket, lent: AtomicBool::new(false) })
    }

    /// Tries an operation until it no longer would block.
    pub async fn drive<T>(
        &self,
        mut operation: impl FnMut(&Session) -> Result<T, ssh2::Error>,
    ) -> Result<T, ssh2::Error> {
        let done = self.drive_io(|session| operation(session).map_err(Failure::Ssh)).await;
        done.map_err(|failure| match failure {
            Failure::Ssh(error) => error,
            Failure::Io(_) => ssh2::Error::from_errno(ErrorCode::Session(SOCKET_RECV)),
        })
    }

    /// The same for operations that read or write a channel.
    pub async fn drive_io<T>(&self, mut operation: impl FnMut(&Session) -> Result<T, Failure>) -> Result<T, Failure> {
        loop {
            match self.attempt(|session| operation(session)) {
                Err(failure) if failure.would_block() => self.wait().await.map_err(Failure::Io)?,
                done => return done,
            }
        }
    }

    /// Tries an operation once; where it would block, [`Driver::wait`] will wait for something newer than the attempt.
    pub fn attempt<T>(&self, operation: impl FnOnce(&Session) -> Result<T, Failure>) -> Result<T, Failure> {
        let mut operation = Some(operation);
        let mut done: Option<(Result<T, Failure>, BlockDirections)> = None;
        let mut run = |done: &mut Option<_>| {
            if let Some(operation) = operation.take() {
                let result = operation(&self.session);
                let directions = match &result {
                    Err(failure) if failure.would_block() => self.session.block_directions(),
                    Ok(_) | Err(_) => BlockDirections::None,
                };
                *done = Some((result, directions));
            }
        };
        self.socket.try_io(Interest::READABLE, || {
            self.socket.try_io(Interest::WRITABLE, || {
                run(&mut done);
                blocked_if(done.as_ref().is_some_and(|(_, directions)| waits_to_write(directions)))
            });
            run(&mut done);
            blocked_if(done.as_ref().is_some_and(|(_, directions)| waits_to_read(directions)))
        });
        self.socket.try_io(Interest::WRITABLE, || {
            run(&mut done);
            blocked_if(done.as_ref().is_some_and(|(_, directions)| waits_to_write(directions)))
        });
        run(&mut done);
        match done {
            Some((result, _)) => result,
            None => Err(Failure::Io(io::ErrorKind::WouldBlock.into())),
        }
    }

    /// Waits for what the session waits for since the last attempt.
    pub async fn wait(&self) -> io::Result<()> {
        let interest = match self.session.block_directions() {
            BlockDirections::None => {
                tokio::time::sleep(NOTHING_TO_WAIT_FOR).await;
                return Ok(());
            }
            BlockDirections::Inbound => Interest::READABLE,
            BlockDirections::Outbound => Interest::WRITABLE,
            BlockDirections::Both => Interest::READABLE | Interest::WRITABLE,
        };
        self.socket.ready(interest).await.map(drop)
    }

    /// Waits until the other side is gone. What it says meanwhile is left for the next operation to read.
    pub async fn ended(&self) {
        loop {
            match self.socket.ready(Interest::READABLE).await {
                Ok(ready) if ready.is_read_closed() => return,
                Ok(_) => self.socket.try_io(Interest::READABLE, || Err(io::ErrorKind::WouldBlock.into())),
                Err(_) => return,
            }
        }
    }

    /// Lends the session to a thread that blocks in it, and may do so for ever: until it is taken back nothing here may
    /// touch it, since a session is one mutex. If it never is, the thread's own handle frees it in the end.
    pub fn lend(&self) {
        self.lent.store(true, Ordering::Relaxed);
    }

    pub fn take_back(&self) {
        self.lent.store(false, Ordering::Relaxed);
    }

    /// Ends the connection at once: whoever waits for it is woken with an error.
    pub fn shut(&self) {
        self.socket.shut();
    }
}

fn waits_to_read(directions: &BlockDirections) -> bool {
    matches!(directions, BlockDirections::Inbound | BlockDirections::Both)
}

fn waits_to_write(directions: &BlockDirections) -> bool {
    matches!(directions, BlockDirections::Outbound | BlockDirections::Both)
}

fn blocked_if(blocked: bool) -> io::Result<()> {
    if blocked { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
}

impl Drop for Driver {
    /// A busy session that is dropped while non-blocking leaks some 80 KB; shut and blocking it does not.
    fn drop(&mut self) {
        self.shut();
        if !self.lent.load(Ordering::Relaxed) {
            self.session.set_blocking(true);
            self.session.set_timeout(1);
        }
    }
}

/// Why an operation failed.
#[derive(Debug)]
pub enum Failure {
    Ssh(ssh2::Error),
    Io(io::Error),
}

impl Failure {
    pub fn would_block(&self) -> bool {
        match self {
            Failure::Ssh(error) => error.code() == ErrorCode::Session(EAGAIN),
            Failure::Io(error) => error.kind() == io::ErrorKind::WouldBlock,
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Ssh(error) => f.write_str(error.message()),
            Failure::Io(error) => error.fmt(f),
        }
    }
}
