//! A syslog server: RFC 5424 messages, octet-counted, over TLS (RFC 5425), or over plain TCP where that was asked for.
//!
//! Neither acknowledges anything: what was written is known to have arrived only when the server closes in good order after
//! us. RELP would, but no client of it was found for Rust.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::net::sockopt;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::config::policy::{CentralLog, Wire};

/// Name, connection and handshake together.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
/// A server that takes nothing for so long is left, and tried again later.
const WRITE_DEADLINE: Duration = Duration::from_secs(10);
/// Where the system keeps the authorities that it trusts: Debian and Red Hat.
const SYSTEM_AUTHORITIES: [&str; 2] = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];

/// Why the central log does not take anything.
#[derive(Debug, Error)]
pub enum SyslogError {
    #[error("{server}: {error}")]
    Unreachable { server: String, error: io::Error },
    #[error("{server}: no answer within {} s", CONNECT_DEADLINE.as_secs())]
    TimedOut { server: String },
    #[error("{server}: refused, nothing was sent: {error}")]
    Untrusted { server: String, error: io::Error },
    #[error("{path}: {why}: no authority to check the server by; set ca in [central_log]")]
    NoAuthority { path: PathBuf, why: String },
    #[error("'{0}' is no name that a certificate could be for")]
    Name(String),
    #[error("{server}: takes nothing any more: {error}")]
    Stalled { server: String, error: io::Error },
    #[error("{server}: closed the connection")]
    Closed { server: String },
}

trait Wired: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Wired for T {}

/// An open connection.
pub struct Connection {
    server: String,
    stream: Box<dyn Wired>,
}

impl Connection {
    /// Connects, and checks who answers; there is no way back to plain TCP.
    pub async fn open(settings: &CentralLog) -> Result<Self, SyslogError> {
        let server = format!("{}:{}", settings.host, settings.port);
        match timeout(CONNECT_DEADLINE, Self::connect(settings, &server)).await {
            Ok(opened) => opened,
            Err(_) => Err(SyslogError::TimedOut { server }),
        }
    }

    async fn connect(settings: &CentralLog, server: &str) -> Result<Self, SyslogError> {
        let server = server.to_owned();
        let connected = TcpStream::connect((settings.host.as_str(), settings.port)).await;
        let stream = connected.map_err(|error| SyslogError::Unreachable { server: server.clone(), error })?;
        // What nobody confirms breaks the connection before it counts as arrived.
        let patience = u32::try_from(settings.settle.as_millis() / 2).unwrap_or(u32::MAX).max(1);
        sockopt::set_tcp_user_timeout(&stream, patience)
            .map_err(|error| SyslogError::Unreachable { server: server.clone(), error: error.into() })?;
        let stream: Box<dyn Wired> = match &settings.wire {
            Wire::PlainTcp => Box::new(stream),
            Wire::Tls { ca, name } => {
                let name = name.as_ref().unwrap_or(&settings.host);
                let checked = ServerName::try_from(name.clone()).map_err(|_| SyslogError::Name(name.clone()))?;
                let connector = TlsConnector::from(Arc::new(trusting(ca.as_deref())?));
                let secured = connector.connect(checked, stream).await;
                Box::new(secured.map_err(|error| SyslogError::Untrusted { server: server.clone(), error })?)
            }
        };
        Ok(Self { server, stream })
    }

    /// Writes framed messages; a server that does not take them is given up.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<(), SyslogError> {
        let write = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        let written = timeout(WRITE_DEADLINE, write).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        written.map_err(|error| SyslogError::Stalled { server: self.server.clone(), error })
    }

    /// Waits until the server closes, which it has no reason to.
    pub async fn closed(&mut self) -> SyslogError {
        let mut buffer = [0; 256];
        loop {
            match self.stream.read(&mut buffer).await {
                Ok(0) => return SyslogError::Closed { server: self.server.clone() },
                Ok(_) => {}
                Err(error) => return SyslogError::Stalled { server: self.server.clone(), error },
            }
        }
    }

    /// Says that no more comes, and waits for the server to close in its turn: then it has read everything.
    pub async fn finish(mut self) -> Result<(), SyslogError> {
        let stalled = |error| SyslogError::Stalled { server: self.server.clone(), error };
        self.stream.shutdown().await.map_err(stalled)?;
        match timeout(WRITE_DEADLINE, self.closed()).await {
            Ok(SyslogError::Closed { .. }) => Ok(()),
            // A TLS server that closes without its own good-bye has closed all the same, after ours.
            Ok(SyslogError::Stalled { error, .. }) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
            Ok(error) => Err(error),
            Err(_) => Err(SyslogError::Stalled { server: self.server.clone(), error: io::ErrorKind::TimedOut.into() }),
        }
    }
}

/// TLS by the authorities of a file, or of the system.
fn trusting(ca: Option<&Path>) -> Result<ClientConfig, SyslogError> {
    let system = || SYSTEM_AUTHORITIES.iter().map(Path::new).find(|path| path.exists());
    let path = ca.or_else(system).unwrap_or(Path::new(SYSTEM_AUTHORITIES[0]));
    let none = |why: String| SyslogError::NoAuthority { path: path.to_owned(), why };
    let text = fs::read(path).map_err(|error| none(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(|error| none(error.to_string()))?;
        // A bundle may hold a few that no longer parse; of a file with one that is an error, told below.
        let _ = roots.add(certificate);
    }
    if roots.is_empty() {
        return Err(none("it holds no certificate".to_owned()));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let versions = versions.map_err(|error| none(error.to_string()))?;
    Ok(versions.with_root_certificates(roots).with_no_client_auth())
}
