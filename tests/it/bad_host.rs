//! A host that speaks SSH and misbehaves on purpose.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use russh::keys::PrivateKey;
use russh::server::{Auth, ChannelOpenHandle, Config, Handler, Msg, Server as _, Session, VerifiedPublicKey};
use russh::{Channel, ChannelId};

use crate::support::{PORT, Place, run, unique};

/// What it does when it is asked to run a command.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Answer {
    /// Says something plausible and closes the channel without an exit status.
    NoExitStatus,
    /// Ends the whole session at once.
    HangUp,
}

/// What it saw.
#[derive(Default)]
pub struct Seen {
    pub logins: Mutex<Vec<Instant>>,
    pub agent_requests: AtomicUsize,
    pub commands: Mutex<Vec<Vec<u8>>>,
}

pub struct BadHost {
    pub place: Place,
    pub seen: Arc<Seen>,
    address: String,
}

impl BadHost {
    pub fn start(answer: Answer) -> Self {
        let place = Place::new();
        let number = unique();
        let address = format!("127.5.{}.{}", number / 250, number % 250 + 1);
        for key in ["host", "user"] {
            run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", place.path(key).to_str().unwrap()]);
        }
        let public = std::fs::read_to_string(place.path("host.pub")).unwrap();
        place.write("known", &format!("[{address}]:{PORT} {public}"));
        let key = PrivateKey::from_openssh(std::fs::read_to_string(place.path("host")).unwrap()).unwrap();
        let seen = Arc::new(Seen::default());
        let mut server = Server { answer, seen: seen.clone() };
        let listener = std::net::TcpListener::bind((address.as_str(), PORT)).unwrap();
        listener.set_nonblocking(true).unwrap();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let config = Config { keys: vec![key], ..Config::default() };
                // The thread ends with the test's process.
                let _ = server.run_on_socket(Arc::new(config), &listener).await;
            });
        });
        Self { place, seen, address }
    }

    /// A block of an ssh configuration that reaches it as `bad`.
    pub fn ssh_config(&self) -> String {
        let dir = self.place.0.display();
        format!(
            "Host bad\n  HostName {}\n  Port {PORT}\n  User root\n  IdentityFile {dir}/user\n  IdentitiesOnly yes\n  IdentityAgent none\n  \
             UserKnownHostsFile {dir}/known\n  GlobalKnownHostsFile none\n",
            self.address
        )
    }
}

struct Server {
    answer: Answer,
    seen: Arc<Seen>,
}

impl russh::server::Server for Server {
    type Handler = Connection;

    fn new_client(&mut self, _: Option<SocketAddr>) -> Connection {
        Connection { answer: self.answer, seen: self.seen.clone() }
    }
}

struct Connection {
    answer: Answer,
    seen: Arc<Seen>,
}

impl Handler for Connection {
    type Error = russh::Error;

    async fn auth_publickey(&mut self, _: &str, _: VerifiedPublicKey<'_>) -> Result<Auth, russh::Error> {
        self.seen.logins.lock().unwrap().push(Instant::now());
        Ok(Auth::Accept)
    }

    async fn channel_open_session(
        &mut self,
        _: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        reply.accept().await;
        Ok(())
    }

    async fn agent_request(&mut self, _: ChannelId, _: &mut Session) -> Result<bool, russh::Error> {
        self.seen.agent_requests.fetch_add(1, Ordering::Relaxed);
        Ok(false)
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        command: &[u8],
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        self.seen.commands.lock().unwrap().push(command.to_vec());
        match self.answer {
            Answer::NoExitStatus => session.channel_success(channel),
            Answer::HangUp => Err(russh::Error::Disconnect),
        }
    }

    async fn data(&mut self, channel: ChannelId, script: &[u8], session: &mut Session) -> Result<(), russh::Error> {
        if !script.ends_with(b"exit 113\n") {
            return Ok(());
        }
        session.data(channel, b"load 0.1 0.1 0.1 1/1 1\n".to_vec())?;
        session.eof(channel)?;
        session.close(channel)
    }
}
