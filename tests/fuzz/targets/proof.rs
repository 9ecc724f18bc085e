#![no_main]

use dogwatch::domain::probe::accounting::{AcctCursor, AcctMemory, parse};
use dogwatch::domain::probe::integrity;
use dogwatch::domain::probe::script::Answer;
use dogwatch::domain::proof::acct::{Decoder, RECORD_BYTES};
use dogwatch::domain::proof::gunzip::Gunzip;
use dogwatch::domain::proof::{evidence, pack, sources, unit_journal};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // In two pieces, as a poll may cut a file anywhere: every byte is in a record, or was passed over.
    let (mut decoder, mut records) = (Decoder::default(), 0);
    let (first, second) = bytes.split_at(bytes.len() / 3);
    decoder.feed(first, |_, _| records += 1);
    decoder.feed(second, |_, _| records += 1);
    decoder.finish(|_, _| records += 1);
    assert_eq!(records * RECORD_BYTES + decoder.passed_over as usize, bytes.len());
    let parts: Vec<&[u8]> = bytes.split(|byte| *byte == 0xfe).collect();
    let (mut cursor, mut memory) = (AcctCursor::default(), AcctMemory::default());
    for _ in 0..3 {
        let answer = Answer { body: b"", parts: parts.clone(), status: 0 };
        let _ = parse(&answer, &mut cursor, &mut memory, 1_790_000_000);
    }
    for name in ["", ".1.gz"] {
        read_on(name, [first, bytes, second, bytes]);
    }
    // In pieces it unpacks to what it is as a whole, as far as it is packed at all.
    let (mut whole, mut pieces) = (Vec::new(), Vec::new());
    let (mut one, mut other) = (Gunzip::default(), Gunzip::default());
    let is_good = one.feed(bytes, usize::MAX, |out| whole.extend_from_slice(out)).is_ok();
    let is_good_in_pieces =
        [first, second].iter().all(|piece| other.feed(piece, usize::MAX, |out| pieces.extend_from_slice(out)).is_ok());
    assert!(is_good == is_good_in_pieces && (!is_good || (whole == pieces && one.is_whole() == other.is_whole())));
    let _ = (integrity::parse(bytes), sources::parse(bytes), unit_journal::runs(bytes, "x.service"));
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = (pack::parse_manifest(text), evidence::runs(text, 0));
    }
});

/// Reads a file on that grows, and becomes another one under the same number.
fn read_on(name: &str, contents: [&[u8]; 4]) {
    let (mut cursor, mut memory) = (AcctCursor::default(), AcctMemory::default());
    for content in contents {
        for _ in 0..2 {
            let parameters = cursor.parameters(&memory, None);
            let mut head = "p /pacct\na 9 0 1790000000 \n".to_owned();
            if !name.is_empty() {
                head += &format!("a 7 {} 1789990000 {name}\n", content.len());
            } else {
                head = format!("p /pacct\na 7 {} 1790000000 \n", content.len());
            }
            let mut parts = vec![head.into_bytes()];
            if parameters[1] == "7" {
                let from: usize = parameters[2].parse().expect("a number");
                parts[0].extend(format!("c 7 {from}\n").bytes());
                parts.push(content.get(from..).unwrap_or_default().to_vec());
            }
            let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
            let reading = parse(&Answer { body: b"", parts, status: 0 }, &mut cursor, &mut memory, 1_790_000_000);
            let reading = reading.expect("a listing as a host prints it");
            assert!(reading.records.len() * RECORD_BYTES + reading.passed_over as usize <= 2 * content.len() + (1 << 21));
        }
    }
}
