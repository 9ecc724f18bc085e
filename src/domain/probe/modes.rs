//! What anybody on a host may write, below directories where nothing should be.

use serde::{Deserialize, Serialize};

use super::{ParseError, fields, lines};
use crate::domain::text::SafeText;

/// Entries told of one directory.
const ENTRIES_MAX: usize = 20;

/// Each parameter is a directory. Prints `p DIRECTORY`, then `w MODE NAME` for what everybody may write, but for links and
/// for directories whose sticky bit keeps entries their owners'; `x` where there is no such directory; what find complains
/// of as it comes. In the end `end`.
pub const SCRIPT: &str = r#"
for dw_d; do
  printf 'p %s\n' "$dw_d"
  if [ -d "$dw_d" ]; then
    find -P "$dw_d" -xdev ! -type l -perm -0002 ! -perm -1000 -exec stat -c 'w %a %n' {} + </dev/null 2>&1 | head -n 200
  else
    printf 'x\n'
  fi
done
printf 'end\n'
"#;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ModesReading {
    pub directories: Vec<DirectoryModes>,
}

/// One directory that should be closed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DirectoryModes {
    pub directory: SafeText,
    pub is_there: bool,
    /// Mode in octal and name, the first of them.
    pub writable: Vec<(SafeText, SafeText)>,
    /// How many there are; of more than two hundred lines nobody counts the rest.
    pub count: u32,
    /// Places that this user may not look into.
    pub denied: u32,
}

/// Reads [`SCRIPT`]'s output.
pub fn parse(output: &[u8]) -> Result<ModesReading, ParseError> {
    let mut reading = ModesReading::default();
    let mut ended = false;
    for (index, line) in lines(output) {
        match (line, reading.directories.last_mut()) {
            (b"end", _) => ended = true,
            ([b'p', b' ', directory @ ..], _) => reading.directories.push(DirectoryModes {
                directory: SafeText::from_bytes_capped(directory, 200),
                is_there: true,
                writable: Vec::new(),
                count: 0,
                denied: 0,
            }),
            (b"x", Some(directory)) => directory.is_there = false,
            ([b'w', b' ', rest @ ..], Some(directory)) => {
                let [mode, name] = fields(rest).ok_or_else(|| ParseError::line(index, "a mode without a name"))?;
                directory.count += 1;
                if directory.writable.len() < ENTRIES_MAX {
                    let (mode, name) = (SafeText::from_bytes_capped(mode, 6), SafeText::from_bytes_capped(name, 200));
                    directory.writable.push((mode, name));
                }
            }
            (_, Some(directory)) => directory.denied += 1,
            (_, None) => return Err(ParseError::line(index, "an entry before its directory")),
        }
    }
    if ended { Ok(reading) } else { Err(ParseError::Empty) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_everybody_may_write_is_told_with_its_mode_and_what_was_not_looked_at_is_counted() {
        let output = b"p /var/www\nw 777 /var/www/up loads\nfind: '/var/www/x': Permission denied\np /srv\nx\nend\n";
        let reading = parse(output).unwrap_or_else(|error| panic!("{error}"));
        let [www, srv] = &reading.directories[..] else { panic!("{reading:?}") };
        assert_eq!((www.count, www.denied, www.is_there), (1, 1, true));
        assert_eq!(www.writable, [("777".into(), "/var/www/up loads".into())]);
        assert!(!srv.is_there);
    }

    #[test]
    fn output_without_its_end_is_no_data() {
        assert_eq!(parse(b"p /var/www\n"), Err(ParseError::Empty));
    }

    proptest::proptest! {
        #[test]
        fn no_output_makes_the_parser_panic(output in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            let _ = parse(&output);
        }
    }
}
