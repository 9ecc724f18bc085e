#![no_main]

use dogwatch::domain::audit::head::Seen;
use dogwatch::domain::audit::record::Record;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // What is read is written the same: a record has one spelling.
    if let Ok(record) = Record::decode(bytes) {
        assert_eq!(record.encode().as_deref().map(str::as_bytes), Ok(bytes));
        let _ = record.event.words();
    }
    bytes.split(|byte| *byte == b'\n').for_each(|line| drop(Seen::in_line(line)));
});
