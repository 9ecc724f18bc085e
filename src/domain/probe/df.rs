//! df's tables, for hosts without `stat -f`.

use super::ParseError;
use super::disk::Usage;

/// `df -P -k` followed by `df -P -i`.
#[derive(Default)]
pub struct DfTables {
    inodes: bool,
    headers: u32,
    rows: Vec<(Vec<u8>, Usage)>,
}

impl DfTables {
    pub fn line(&mut self, index: usize, line: &[u8]) -> Result<(), ParseError> {
        // The header is told by its place, not its words: they are translated on some hosts in spite of LC_ALL=C.
        let header = !line.windows(2).any(|pair| pair == b"% ") && !line.windows(3).any(|pair| pair == b" - ");
        if header || line.starts_with(b"Filesystem") {
            self.headers += 1;
            self.inodes = 1 < self.headers;
            return Ok(());
        }
        let bad = |what: &str| ParseError::line(index, what);
        let text = std::str::from_utf8(line).map_err(|_| bad("df's row is no UTF-8"))?;
        let (columns, mount) = split_df_row(text).ok_or_else(|| bad("df's row needs 6 columns"))?;
        let [total, used, available] = columns;
        match self.inodes {
            false => {
                let usage = Usage {
                    size_bytes: total.saturating_mul(1024),
                    used_bytes: used.saturating_mul(1024),
                    available_bytes: available.saturating_mul(1024),
                    inodes: 0,
                    inodes_used: 0,
                };
                self.rows.push((mount.as_bytes().to_vec(), usage));
            }
            true => {
                if let Some((_, usage)) = self.rows.iter_mut().find(|(path, _)| path == mount.as_bytes()) {
                    (usage.inodes, usage.inodes_used) = (total, used);
                }
            }
        }
        Ok(())
    }

    pub fn into_usages(self) -> Vec<(Vec<u8>, Usage)> {
        self.rows
    }
}

/// Finds ` TOTAL USED AVAIL N% /mount`, counting from the percent sign, since source and mount may hold spaces.
fn split_df_row(row: &str) -> Option<([u64; 3], &str)> {
    let (before, mount) = row.split_once("% ").or_else(|| row.split_once(" - "))?;
    let mut columns = before.split_ascii_whitespace().rev();
    if row.contains("% ") {
        columns.next()?.parse::<u64>().ok()?;
    }
    // df shows `-` where a file system has no inodes, and a negative available where only the reserve is left.
    let count = |text: &str| match text {
        "-" => Some(0),
        negative if negative.starts_with('-') => negative[1..].parse::<u64>().ok().map(|_| 0),
        _ => text.parse::<u64>().ok(),
    };
    let available = count(columns.next()?)?;
    let used = count(columns.next()?)?;
    let total = count(columns.next()?)?;
    columns.next()?;
    Some(([total, used, available], mount.trim_start()))
}
