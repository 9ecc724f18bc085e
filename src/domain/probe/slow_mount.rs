//! A network or FUSE mount: asked alone, in the slow lane, since it may never answer.

use serde::{Deserialize, Serialize};

use super::disk::{Filesystem, SlowMount, Usage};
use super::{ParseError, fields, lines, number};
use crate::domain::text::SafeText;

/// `$1` is the device's `MAJ:MIN`: the mount point is looked up on the host, so that no remote text goes back to it.
/// Prints `m OPTIONS`, then statfs as `s BLOCKSIZE BLOCKS FREE AVAIL INODES IFREE`.
pub const SCRIPT: &str = r#"
dw_found=
while read -r dw_id dw_parent dw_dev dw_root dw_mnt dw_opts dw_rest; do
  [ "$dw_dev" = "$1" ] && dw_found=$dw_mnt dw_super=${dw_rest##* }
done </proc/self/mountinfo
if [ -n "$dw_found" ]; then
  case $dw_found in *\\*) dw_found=$(printf '%b' "$dw_found") ;; esac
  printf 'm %s\n' "$dw_super"
  stat -f -c 's %S %b %f %a %c %d' -- "$dw_found" </dev/null
else
  printf 'gone\n'
fi
"#;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SlowMountReading {
    pub filesystem: Filesystem,
}

/// Reads [`SCRIPT`]'s output for the mount that it was asked for.
pub fn parse(output: &[u8], mount: &SlowMount) -> Result<SlowMountReading, ParseError> {
    let mut read_only = mount.read_only;
    let mut usage = None;
    for (index, line) in lines(output) {
        match line {
            b"gone" => return Err(ParseError::Other("it is no longer mounted".into())),
            [b'm', b' ', options @ ..] => read_only = options.split(|&b| b == b',').any(|option| option == b"ro"),
            [b's', b' ', rest @ ..] => usage = Some(statfs(index, rest)?),
            _ => return Err(ParseError::line(index, SafeText::from_bytes_capped(line, 120).as_str())),
        }
    }
    let usage =
        usage.ok_or_else(|| ParseError::Other("it does not answer statfs (stale handle, or no permission)".into()))?;
    Ok(SlowMountReading {
        filesystem: Filesystem {
            mount: mount.mount.clone(),
            source: mount.source.clone(),
            kind: mount.kind.clone(),
            read_only,
            read_only_in_fstab: mount.read_only_in_fstab,
            usage: Some(usage),
        },
    })
}

fn statfs(index: usize, line: &[u8]) -> Result<Usage, ParseError> {
    let bad = || ParseError::line(index, "statfs needs 6 counts");
    let columns: [&[u8]; 6] = fields(line).ok_or_else(bad)?;
    let mut counts = [0_u64; 6];
    for (count, column) in counts.iter_mut().zip(columns) {
        *count = number(column).ok_or_else(bad)?;
    }
    let [block_bytes, blocks, free, available, inodes, inodes_free] = counts;
    Ok(Usage {
        size_bytes: blocks.saturating_mul(block_bytes),
        used_bytes: blocks.saturating_sub(free).saturating_mul(block_bytes),
        available_bytes: available.min(free).saturating_mul(block_bytes),
        inodes,
        inodes_used: inodes.saturating_sub(inodes_free),
    })
}
