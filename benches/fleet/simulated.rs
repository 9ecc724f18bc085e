//! A fleet that is not there: one process that speaks SSH on every loopback address.
//!
//! It answers a script as this machine's own `/bin/sh` answered it the first time, with the poll's nonce, the time of
//! day and a load that moves. So the client's side is as real as can be, and the server's side costs little.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use russh::keys::PrivateKey;
use russh::server::{Auth, ChannelOpenHandle, Config, Handler, Msg, Server as _, Session, VerifiedPublicKey};
use russh::{Channel, ChannelId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Mutex;

/// What the scripts end with when they reached their end.
const END_STATUS: u32 = 113;
const END_OF_SCRIPT: &[u8] = b"\nexit 113\n";
const NONCE_VARIABLE: &str = "dw_n=";
const NONCE_CHARS: usize = 32;
const PLACEHOLDER: &str = "@@@NONCE@@@";

/// Serves until it is killed; each connection to the port after `port` is answered with the figures since the last one.
pub fn serve(port: u16, place: &Path) -> io::Result<()> {
    let key = fs::read_to_string(place.join("host"))?;
    let key = PrivateKey::from_openssh(key).map_err(io::Error::other)?;
    let config = Config {
        keys: vec![key],
        nodelay: true,
        inactivity_timeout: None,
        // Every client asks with "none" first; by default the answer would come a second late.
        auth_rejection_time_initial: Some(Duration::ZERO),
        ..Config::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let fleet = Fleet { shared: Arc::new(Mutex::new(Shared::new(place))) };
        tokio::spawn(tell_figures(port + 1, fleet.shared.clone()));
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await?;
        fleet.clone().run_on_socket(Arc::new(config), &listener).await
    })
}

/// How many polls there were, and nearest-rank percentiles of the time from channel to answer, as the server saw it.
async fn tell_figures(port: u16, shared: Arc<Mutex<Shared>>) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    loop {
        let (mut stream, _) = listener.accept().await?;
        let mut shared = shared.lock().await;
        let mut took = std::mem::take(&mut shared.polls_us);
        took.sort_unstable();
        let rank = |share: f64| took.get((took.len() as f64 * share) as usize).copied().unwrap_or(0);
        let line = format!("{} {} {} {}\n", took.len(), rank(0.5), rank(0.99), std::mem::take(&mut shared.bytes_sent));
        stream.write_all(line.as_bytes()).await?;
    }
}

struct Shared {
    place: PathBuf,
    /// By the script without its nonce and its times.
    recordings: HashMap<String, Arc<str>>,
    polls_us: Vec<u64>,
    bytes_sent: u64,
    turn: u64,
}

impl Shared {
    fn new(place: &Path) -> Self {
        let place = place.to_owned();
        Self { place, recordings: HashMap::new(), polls_us: Vec::new(), bytes_sent: 0, turn: 0 }
    }

    async fn answer(&mut self, script: &str) -> io::Result<String> {
        let nonce = script.split_once(NONCE_VARIABLE).map_or("", |(_, after)| &after[..NONCE_CHARS.min(after.len())]);
        let general = without_times(&script.replace(nonce, ""));
        let recording = match self.recordings.get(&general) {
            Some(recording) => recording.clone(),
            None => self.record(general, script, nonce).await?,
        };
        self.turn += 1;
        let answer = refreshed(&recording, nonce, self.turn);
        self.bytes_sent += answer.len() as u64;
        Ok(answer)
    }

    /// Asks this machine once, and leaves the script in the place for whoever wants to send the very same.
    async fn record(&mut self, general: String, script: &str, nonce: &str) -> io::Result<Arc<str>> {
        let number = self.recordings.len();
        fs::write(self.place.join(format!("script-{number}.sh")), script)?;
        let mut shell = tokio::process::Command::new("/bin/sh")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let (Some(mut stdin), Some(mut stdout)) = (shell.stdin.take(), shell.stdout.take()) else {
            return Err(io::Error::other("the shell has no pipes"));
        };
        let mut output = Vec::new();
        let (sent, received) = tokio::join!(
            async {
                stdin.write_all(script.as_bytes()).await?;
                drop(stdin);
                io::Result::Ok(())
            },
            stdout.read_to_end(&mut output)
        );
        sent.and(received)?;
        shell.wait().await?;
        let recording: Arc<str> = String::from_utf8_lossy(&output).replace(nonce, PLACEHOLDER).into();
        self.recordings.insert(general, recording.clone());
        Ok(recording)
    }
}

/// Leaves out seconds since the epoch: runs of jobs are asked for from a time on that moves with each poll.
fn without_times(script: &str) -> String {
    let is_time = |word: &str| word.len() == 10 && word.bytes().all(|byte| byte.is_ascii_digit());
    let words = script.split_inclusive(|c: char| !c.is_ascii_digit());
    words.filter(|word| !is_time(word.trim_end_matches(|c: char| !c.is_ascii_digit()))).collect()
}

/// The recording as a host would give it now.
fn refreshed(recording: &str, nonce: &str, turn: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut answer = String::with_capacity(recording.len());
    for line in recording.split_inclusive('\n') {
        if line.starts_with("now ") {
            answer.push_str(&format!("now {}.{:09} +0000\n", now.as_secs(), now.subsec_nanos()));
        } else if let Some(rest) = line.strip_prefix("load ") {
            let rest = rest.splitn(4, ' ').nth(3).unwrap_or("1/100 1\n");
            answer.push_str(&format!("load 0.{:02} 0.{:02} 0.{:02} {rest}", turn % 97, turn % 53, turn % 31));
        } else {
            answer.push_str(line);
        }
    }
    answer.replace(PLACEHOLDER, nonce)
}

#[derive(Clone)]
struct Fleet {
    shared: Arc<Mutex<Shared>>,
}

impl russh::server::Server for Fleet {
    type Handler = Connection;

    fn new_client(&mut self, _: Option<std::net::SocketAddr>) -> Connection {
        Connection { shared: self.shared.clone(), open: HashMap::new() }
    }

    fn handle_session_error(&mut self, error: russh::Error) {
        let _ = writeln!(io::stderr(), "a session ended: {error}");
    }
}

struct Connection {
    shared: Arc<Mutex<Shared>>,
    open: HashMap<ChannelId, (Instant, Vec<u8>)>,
}

impl Handler for Connection {
    type Error = russh::Error;

    async fn auth_publickey(&mut self, _: &str, _: VerifiedPublicKey<'_>) -> Result<Auth, russh::Error> {
        Ok(Auth::Accept)
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        self.open.insert(channel.id(), (Instant::now(), Vec::new()));
        reply.accept().await;
        Ok(())
    }

    async fn exec_request(&mut self, channel: ChannelId, _: &[u8], session: &mut Session) -> Result<(), russh::Error> {
        session.channel_success(channel)
    }

    async fn data(&mut self, channel: ChannelId, data: &[u8], session: &mut Session) -> Result<(), russh::Error> {
        let Some((began, script)) = self.open.get_mut(&channel) else { return Ok(()) };
        script.extend_from_slice(data);
        if !script.ends_with(END_OF_SCRIPT) {
            return Ok(());
        }
        let mut shared = self.shared.lock().await;
        let answer = shared.answer(&String::from_utf8_lossy(script)).await?;
        shared.polls_us.push(u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX));
        self.open.remove(&channel);
        session.data(channel, answer.into_bytes())?;
        session.exit_status_request(channel, END_STATUS)?;
        session.eof(channel)?;
        session.close(channel)
    }
}
