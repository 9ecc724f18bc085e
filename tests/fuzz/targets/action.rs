#![no_main]

use dogwatch::config::{actions, policy};
use dogwatch::domain::action::plan::Plan;
use dogwatch::domain::action::purge::{PurgeWish, parse_list};
use dogwatch::domain::action::remote;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = policy::parse("policy.toml", text, None);
        let _ = actions::parse("actions.toml", text, false);
        // A plan of another's making is shown to whoever is asked to agree.
        if let Ok(plan) = Plan::decode(text) {
            assert!(plan.to_string().chars().all(|c| c == '\n' || !c.is_control()));
        }
    }
    let _ = (remote::parse_look(bytes), remote::parse_begun(bytes), remote::parse_fence(bytes));
    let parts: Vec<Vec<u8>> = bytes.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect();
    let wish = PurgeWish { directory: "/var/log".into(), archive: "/backup".into(), older_s: 0, truncate_open: true };
    if let Some((body, before)) = parts.split_last() {
        if let Ok(listing) = parse_list(before, body, &wish) {
            let _ = listing.check(10);
        }
    }
});
