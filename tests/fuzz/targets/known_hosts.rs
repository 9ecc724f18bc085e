#![no_main]
//! Any known_hosts file gets a verdict.

use dogwatch::domain::trust::known_hosts::{HostKey, KnownHosts, RecordedNames};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let mut known = KnownHosts::default();
    known.add("known_hosts", text);
    let key = HostKey::from_blob(b"\0\0\0\x0bssh-ed25519\0\0\0\x20aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    for (host, port) in [("db1", 22), ("192.0.2.1", 2222), ("::1", 22)] {
        known.verdict(&RecordedNames::new(host, port, None), &key);
    }
});
