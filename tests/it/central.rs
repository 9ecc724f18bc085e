//! A real rsyslog as the central log, over TLS or plain TCP.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::support::*;

pub const SYSLOG_PORT: u16 = 6514;

/// An rsyslogd on a loopback address of its own, which writes one file.
pub struct Rsyslog {
    pub place: Place,
    pub address: String,
    tls: bool,
    server: Option<Running>,
}

impl Rsyslog {
    pub fn over_tls() -> Self {
        let mut rsyslog = Self::prepared(true);
        rsyslog.certify("rsyslog.test", 30, 0);
        rsyslog.start();
        rsyslog
    }

    pub fn over_tcp() -> Self {
        let mut rsyslog = Self::prepared(false);
        rsyslog.start();
        rsyslog
    }

    /// The machine's own: it reads /dev/log and writes /var/log/auth.log, both the namespace's.
    pub fn of_the_host() -> Self {
        let mut rsyslog = Self::prepared(false);
        let config = "module(load=\"imuxsock\" SysSock.Name=\"/dev/log\" SysSock.Use=\"on\")\n\
            action(type=\"omfile\" file=\"/var/log/auth.log\" template=\"RSYSLOG_TraditionalFileFormat\" fileCreateMode=\"0644\")\n";
        rsyslog.run(config);
        let deadline = Instant::now() + GUARD;
        while std::os::unix::net::UnixDatagram::unbound().unwrap().connect("/dev/log").is_err() {
            assert!(Instant::now() < deadline, "rsyslogd does not listen on /dev/log");
            std::thread::yield_now();
        }
        rsyslog
    }

    fn prepared(tls: bool) -> Self {
        let number = unique();
        let address = format!("127.2.{}.{}", number / 250, number % 250 + 1);
        Self { place: Place::new(), address, tls, server: None }
    }

    /// An authority, and a certificate for `name` that is valid from `days_ago` days ago for `days`.
    pub fn certify(&self, name: &str, days: i32, days_ago: i32) {
        let path = |file: &str| self.place.path(file).to_str().unwrap().to_owned();
        let openssl = |arguments: &[&str]| drop(run("openssl", arguments));
        let authority = format!("/CN=authority {}", unique());
        let ca = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", &authority, "-days", "30"];
        openssl(&[&ca[..], &["-keyout", &path("ca.key"), "-out", &path("ca.pem")]].concat());
        let subject = format!("/CN={name}");
        let request = ["req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", &subject];
        openssl(&[&request[..], &["-keyout", &path("server.key"), "-out", &path("server.csr")]].concat());
        let extensions = self.place.write("san", &format!("subjectAltName = DNS:{name}\n"));
        let time = |days: i64| (chrono::Utc::now() + chrono::Duration::days(days)).format("%Y%m%d%H%M%SZ").to_string();
        let (from, to) = (time(-i64::from(days_ago)), time(i64::from(days - days_ago)));
        // `openssl x509` can't make a certificate that has expired; `openssl ca` can.
        fs::write(self.place.path("index.txt"), "").unwrap();
        let config = format!(
            "[ca]\ndefault_ca=d\n[d]\ndatabase={0}\nnew_certs_dir={1}\nrand_serial=yes\ndefault_md=sha256\npolicy=p\n[p]\nCN=optional\n",
            path("index.txt"),
            self.place.0.display()
        );
        let config = self.place.write("ca.conf", &config);
        let signing =
            ["ca", "-batch", "-notext", "-config", config.to_str().unwrap(), "-startdate", &from, "-enddate", &to];
        let keys = ["-cert", &path("ca.pem"), "-keyfile", &path("ca.key"), "-in", &path("server.csr")];
        let out = ["-out", &path("server.pem"), "-extfile", extensions.to_str().unwrap()];
        openssl(&[&signing[..], &keys[..], &out[..]].concat());
    }

    pub fn start(&mut self) {
        let dir = self.place.0.display();
        let tls = match self.tls {
            true => format!(
                "global(workDirectory=\"{dir}\" defaultNetstreamDriver=\"gtls\" defaultNetstreamDriverCAFile=\"{dir}/ca.pem\"\n\
                 defaultNetstreamDriverCertFile=\"{dir}/server.pem\" defaultNetstreamDriverKeyFile=\"{dir}/server.key\")\n\
                 module(load=\"imtcp\" StreamDriver.Name=\"gtls\" StreamDriver.Mode=\"1\" StreamDriver.AuthMode=\"anon\")\n"
            ),
            false => format!("global(workDirectory=\"{dir}\")\nmodule(load=\"imtcp\")\n"),
        };
        let config = format!(
            "{tls}input(type=\"imtcp\" address=\"{}\" port=\"{SYSLOG_PORT}\")\n\
             action(type=\"omfile\" file=\"{dir}/central.log\" template=\"RSYSLOG_TraditionalFileFormat\")\n",
            self.address
        );
        self.run(&config);
        self.wait_for_port();
    }

    fn run(&mut self, config: &str) {
        let config = self.place.write("rsyslog.conf", config);
        let child = Command::new("/usr/sbin/rsyslogd")
            .args(["-n", "-f", config.to_str().unwrap(), "-i", self.place.path("pid").to_str().unwrap()])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        self.server = Some(Running(child));
    }

    /// The port is in the kernel's table once somebody listens there.
    fn wait_for_port(&self) {
        let deadline = Instant::now() + GUARD;
        while std::net::TcpStream::connect((self.address.as_str(), SYSLOG_PORT)).is_err() {
            assert!(Instant::now() < deadline, "rsyslogd does not listen");
            std::thread::yield_now();
        }
    }

    /// Ends it in good order, so that what it read is in its file.
    pub fn stop(&mut self) {
        if let Some(mut server) = self.server.take() {
            run("kill", &["-TERM", &server.0.id().to_string()]);
            server.0.wait().unwrap();
        }
    }

    /// The `[central_log]` that reaches it.
    pub fn policy(&self) -> String {
        let how = match self.tls {
            true => format!("ca = '{}/ca.pem'\nname = 'rsyslog.test'\n", self.place.0.display()),
            false => "tls = false\n".to_owned(),
        };
        format!("[central_log]\nserver = '{}:{SYSLOG_PORT}'\nsettle = '300ms'\n{how}", self.address)
    }

    /// The lines of its file; it must have been stopped, or have been sent something that it has surely written.
    pub fn lines(&self) -> Vec<String> {
        let bytes = fs::read(self.place.path("central.log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect()
    }

    pub fn file(&self) -> String {
        self.place.path("central.log").to_str().unwrap().to_owned()
    }
}
