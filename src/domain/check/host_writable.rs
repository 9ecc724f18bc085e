//! `host.world-writable:DIRECTORY`: what anybody may write is a door.

use super::{CheckId, CheckKind, CheckResult, Unit};
use crate::domain::probe::modes::{DirectoryModes, ModesReading};
use crate::domain::status::Status;

/// One result for each directory.
pub fn check(reading: &ModesReading) -> Vec<CheckResult> {
    reading.directories.iter().map(check_one).collect()
}

fn check_one(modes: &DirectoryModes) -> CheckResult {
    let DirectoryModes { directory, is_there, writable, count, denied } = modes;
    let id = CheckId::on(CheckKind::HostWorldWritable, directory.clone());
    if !is_there {
        return CheckResult::missing(id, format!("{directory}: no such directory"), Unit::Count);
    }
    let unseen = match denied {
        0 => String::new(),
        denied => format!("; {denied} places may not be looked into by this user"),
    };
    let (status, told) = match writable.first() {
        None => (Status::Ok, format!("nothing below {directory} may be written by everybody{unseen}")),
        Some((mode, name)) => {
            let more = if *count < 2 { String::new() } else { format!(" and {} more", count - 1) };
            (Status::Warning, format!("{name} has mode {mode}{more}: everybody may write there{unseen}"))
        }
    };
    let result = CheckResult::new(id, status, told, Unit::Count).value(f64::from(*count));
    if *denied == 0 { result } else { result.partial() }
}

#[cfg(test)]
mod tests {
    use crate::domain::check::testing::show;
    use crate::domain::probe::modes::parse;

    fn check(output: &str, expected: &str) {
        let reading = parse(output.as_bytes()).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(show(&super::check(&reading)), expected);
    }

    #[test]
    fn a_directory_of_mode_777_is_a_warning_that_names_it() {
        check(
            "p /var/www\nw 777 /var/www/uploads\nw 666 /var/www/a\nend\n",
            "host.world-writable:/var/www WARNING /var/www/uploads has mode 777 and 1 more: everybody may write there",
        );
    }

    #[test]
    fn what_could_not_be_looked_at_is_said() {
        check(
            "p /var/www\nfind: '/var/www/x': Permission denied\nend\n",
            "host.world-writable:/var/www OK nothing below /var/www may be written by everybody; 1 places may not be looked into by this user",
        );
    }
}
