#![no_main]
//! A whole poll's output, cut anywhere, with lines that imitate its marks.

use dogwatch::domain::probe::script::{Nonce, split};
use dogwatch::domain::probe::{host, slow_mount, smart, units};
use dogwatch::domain::probe::disk::SlowMount;
use dogwatch::domain::text::SafeText;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|output: &[u8]| {
    // The nonce of thirty-two zeros, so that a mutation may hit it.
    let answers = split(output, &Nonce::new(0), 4);
    let bodies = answers.sections.iter().flatten().map(|answer| answer.body).chain([output]);
    let text = SafeText::new("/m");
    let mount = SlowMount {
        mount: text.clone(),
        kind: text.clone(),
        source: text,
        read_only: false,
        read_only_in_fstab: false,
        device: (0, 1),
    };
    for body in bodies {
        let _ = host::parse(body);
        let _ = units::parse(body);
        let _ = smart::parse(body);
        let _ = slow_mount::parse(body, &mount);
        assert!(!SafeText::from_bytes(body).as_str().contains(|c: char| c.is_control()));
    }
});
