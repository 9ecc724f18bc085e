//! Space, inodes and read-only state of local file systems, and software RAID.
//!
//! `stat -f` asks statfs(2) for just the mounts named: unlike df it never touches another mount, so a dead network
//! mount can't hold up the fast lane. Hosts without it answer with df.

use serde::{Deserialize, Serialize};

use super::df::DfTables;
use super::md::{self, RaidArray};
use super::{ParseError, fields, lines, number};
use crate::domain::text::SafeText;

/// File systems that reach over a network or into a user process: they may hang, so only the slow lane touches them.
pub const SLOW_TYPES: &str =
    "nfs|nfs4|cifs|smb3|smbfs|ncpfs|9p|afs|ceph|glusterfs|lustre|gpfs|ocfs2|gfs2|davfs|fuse|fuse.*|fuseblk";

/// Mounts, `m MAJ:MIN ROOT MOUNT OPTS TYPE SOURCE SUPEROPTS`; statfs, `s BLOCKSIZE BLOCKS FREE AVAIL INODES IFREE MOUNT`;
/// fstab's read-only entries, `f MOUNT`; kernel lines, `k …`; /proc/mdstat, `r …`.
pub const SCRIPT: &str = r#"
dw_ro=
while read -r dw_id dw_parent dw_dev dw_root dw_mnt dw_opts dw_rest; do
  dw_fs=${dw_rest#*- }
  case ${dw_fs%% *} in
  proc|sysfs|cgroup|cgroup2|devpts|devtmpfs|mqueue|debugfs|tracefs|securityfs|pstore|bpf|configfs|fusectl|hugetlbfs|autofs|binfmt_misc|rpc_pipefs|nsfs|efivarfs|selinuxfs|ramfs|squashfs|iso9660|erofs|cramfs|fuse.snapfuse|fuse.lxcfs|fuse.portal|fuse.gvfsd-fuse) continue ;;
  nfs|nfs4|cifs|smb3|smbfs|ncpfs|9p|afs|ceph|glusterfs|lustre|gpfs|ocfs2|gfs2|davfs|fuse|fuse.*|fuseblk)
    dw_say "m $dw_dev $dw_root $dw_mnt $dw_opts $dw_fs"; continue ;;
  esac
  dw_say "m $dw_dev $dw_root $dw_mnt $dw_opts $dw_fs"
  case ",${dw_fs##* }," in *,ro,*) dw_ro=1 ;; esac
  case $dw_mnt in
  *\\012*) continue ;;
  *\\*) dw_mnt=$(printf '%b' "$dw_mnt") ;;
  esac
  set -- "$@" "$dw_mnt"
done </proc/self/mountinfo
if [ $# -gt 0 ]; then
  if command -v stat >/dev/null; then
    dw_say "$(stat -f -c 's %S %b %f %a %c %d %n' -- "$@" </dev/null)"
  else
    dw_say "$(df -P -k -- "$@" </dev/null; df -P -i -- "$@" </dev/null)"
  fi
fi
if [ -r /etc/fstab ]; then
  while read -r dw_dev dw_mnt dw_type dw_opts dw_rest; do
    case $dw_dev in \#*) continue ;; esac
    case ",$dw_opts," in *,ro,*) dw_say "f $dw_mnt" ;; esac
  done </etc/fstab
fi
if [ -n "$dw_ro" ]; then
  if dw_log=$(dmesg 2>/dev/null </dev/null) || dw_log=$(tail -n 2000 /var/log/kern.log 2>/dev/null </dev/null) ||
    { dw_log=$(journalctl -k -q --no-pager -n 2000 2>/dev/null </dev/null) && [ -n "$dw_log" ]; }; then
    dw_say "$(printf '%s\n' "$dw_log" | grep -a -i -E 'remount|read-only|I/O error|EXT4-fs error|XFS.*(error|shut)|BTRFS.*error|journal.*abort' | tail -n 8 | while IFS= read -r dw_l; do printf 'k %s\n' "$dw_l"; done)"
  else
    dw_say 'k!'
  fi
fi
if [ -r /proc/mdstat ]; then
  while IFS= read -r dw_l; do dw_say "r $dw_l"; done </proc/mdstat
fi
:
"#;

/// One poll's view of a host's disks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DiskReading {
    pub filesystems: Vec<Filesystem>,
    /// Mounts that the slow lane asks for.
    pub slow_mounts: Vec<SlowMount>,
    pub arrays: Vec<RaidArray>,
    /// Kernel lines that may explain a read-only file system, oldest first.
    pub kernel_lines: Vec<SafeText>,
    /// The kernel's log could not be read.
    pub kernel_log_denied: bool,
}

/// One local file system.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Filesystem {
    pub mount: SafeText,
    pub source: SafeText,
    pub kind: SafeText,
    pub read_only: bool,
    /// fstab asks for read-only.
    pub read_only_in_fstab: bool,
    /// `None` where the mount refused statfs.
    pub usage: Option<Usage>,
}

/// Space in bytes and inodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    pub size_bytes: u64,
    pub used_bytes: u64,
    /// What an ordinary user may still write.
    pub available_bytes: u64,
    pub inodes: u64,
    pub inodes_used: u64,
}

/// A mount that may hang: a network file system or FUSE.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlowMount {
    pub mount: SafeText,
    pub kind: SafeText,
    pub source: SafeText,
    pub read_only: bool,
    /// fstab asks for read-only.
    pub read_only_in_fstab: bool,
    /// Major and minor number: by these the slow lane's script finds the mount again, so that no remote text goes back.
    pub device: (u32, u32),
}

impl Usage {
    /// Percent used by df's formula: used of what an ordinary user could use.
    pub fn used_percent(&self) -> f64 {
        percent(self.used_bytes, self.used_bytes.saturating_add(self.available_bytes))
    }

    /// Blocks kept for root, in bytes.
    pub fn reserved_bytes(&self) -> u64 {
        self.size_bytes.saturating_sub(self.used_bytes).saturating_sub(self.available_bytes)
    }

    /// `None` on file systems that have no fixed number of inodes (btrfs).
    pub fn inodes_used_percent(&self) -> Option<f64> {
        (self.inodes != 0).then(|| percent(self.inodes_used, self.inodes))
    }
}

fn percent(part: u64, whole: u64) -> f64 {
    match whole {
        0 => 0.0,
        _ => (part as f64 * 100.0 / whole as f64).clamp(0.0, 100.0),
    }
}

/// Mounts of the system's own machinery, which nobody fills or repairs.
fn is_plumbing(mount: &[u8]) -> bool {
    const PREFIXES: [&[u8]; 4] = [b"/proc/", b"/sys/", b"/run/credentials/", b"/run/user/"];
    PREFIXES.iter().any(|prefix| mount.starts_with(prefix))
}

/// Bytes of the answer: most lines are plumbing, and become no text.
struct MountLine<'a> {
    device: (u32, u32),
    root: &'a [u8],
    kind: &'a [u8],
    source: &'a [u8],
    read_only: bool,
    mount: Vec<u8>,
}

impl MountLine<'_> {
    /// Whether both show the same blocks: by the source, where it is a device.
    fn is_same_as(&self, other: &MountLine) -> bool {
        match (self.source.starts_with(b"/"), other.source.starts_with(b"/")) {
            (true, true) => self.source == other.source,
            (false, false) => self.device == other.device,
            (true, false) | (false, true) => false,
        }
    }

    /// The whole file system before a part of it, the shorter path before the longer.
    fn rank(&self) -> (bool, usize) {
        (self.root != b"/", self.mount.len())
    }
}

/// Reads [`SCRIPT`]'s output.
pub fn parse(output: &[u8]) -> Result<DiskReading, ParseError> {
    let mut reading = DiskReading::default();
    let mut mounts: Vec<MountLine> = Vec::new();
    let mut usages: Vec<(Vec<u8>, Usage)> = Vec::new();
    let mut read_only_in_fstab: Vec<Vec<u8>> = Vec::new();
    let mut md_lines: Vec<&[u8]> = Vec::new();
    let mut df = DfTables::default();
    for (index, line) in lines(output) {
        match line {
            [b'm', b' ', rest @ ..] => mounts.push(mount_line(index, rest)?),
            [b's', b' ', rest @ ..] => usages.extend(statfs_line(index, rest)?),
            [b'f', b' ', rest @ ..] => read_only_in_fstab.push(unescape_octal(rest)),
            [b'k', b' ', rest @ ..] => reading.kernel_lines.push(SafeText::from_bytes_capped(rest, 300)),
            b"k!" => reading.kernel_log_denied = true,
            [b'r', b' ', rest @ ..] => md_lines.push(rest),
            _ => df.line(index, line)?,
        }
    }
    usages.extend(df.into_usages());
    if mounts.is_empty() {
        return Err(ParseError::Empty);
    }
    for mount in visible_mounts(mounts) {
        let name = SafeText::from_bytes(&mount.mount);
        let (kind, source) = (SafeText::from_bytes(mount.kind), SafeText::from_bytes(mount.source));
        if is_slow_type(kind.as_str()) {
            reading.slow_mounts.push(SlowMount {
                mount: name,
                kind,
                source,
                read_only: mount.read_only,
                read_only_in_fstab: read_only_in_fstab.contains(&mount.mount),
                device: mount.device,
            });
            continue;
        }
        let usage = usages.iter().find(|(path, _)| *path == mount.mount).map(|(_, usage)| *usage);
        if usage.is_some_and(|usage| usage.size_bytes == 0) {
            continue;
        }
        reading.filesystems.push(Filesystem {
            read_only: mount.read_only,
            read_only_in_fstab: read_only_in_fstab.contains(&mount.mount),
            mount: name,
            source,
            kind,
            usage,
        });
    }
    reading.arrays = md::parse(&md_lines);
    Ok(reading)
}

/// Whether only the slow lane may touch a file system of this type.
pub fn is_slow_type(kind: &str) -> bool {
    SLOW_TYPES.split('|').any(|slow| match slow.strip_suffix('*') {
        Some(prefix) => kind.starts_with(prefix),
        None => kind == slow,
    })
}

fn mount_line(index: usize, line: &[u8]) -> Result<MountLine<'_>, ParseError> {
    let columns: [&[u8]; 7] =
        fields(line).ok_or_else(|| ParseError::line(index, "a mount needs 7 fields: the host's mountinfo is cut"))?;
    let [device, root, mount, _options, kind, source, super_options] = columns;
    let read_only = super_options.split(|&b| b == b',').any(|option| option == b"ro");
    Ok(MountLine {
        device: parse_device(device).ok_or_else(|| ParseError::line(index, "a device needs two numbers"))?,
        root,
        kind,
        source,
        read_only,
        mount: unescape_octal(mount),
    })
}

fn parse_device(field: &[u8]) -> Option<(u32, u32)> {
    let (major, minor) = std::str::from_utf8(field).ok()?.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Keeps one line for each file system: bind mounts and over-mounted mounts would show the same blocks again.
fn visible_mounts(mounts: Vec<MountLine<'_>>) -> Vec<MountLine<'_>> {
    let mut visible: Vec<MountLine> = Vec::new();
    for mount in mounts {
        visible.retain(|earlier| earlier.mount != mount.mount);
        let container = mount.kind == b"overlay" && mount.mount != b"/";
        if !container && !is_plumbing(&mount.mount) {
            visible.push(mount);
        }
    }
    let mut kept: Vec<MountLine> = Vec::new();
    for mount in visible {
        match kept.iter_mut().find(|other| other.is_same_as(&mount)) {
            Some(other) if mount.rank() < other.rank() => *other = mount,
            Some(_) => {}
            None => kept.push(mount),
        }
    }
    kept.sort_by(|a, b| a.mount.cmp(&b.mount));
    kept
}

/// `None` for the mounts that statfs knows no size of.
fn statfs_line(index: usize, line: &[u8]) -> Result<Option<(Vec<u8>, Usage)>, ParseError> {
    let columns: [&[u8]; 7] = fields(line).ok_or_else(|| ParseError::line(index, "statfs needs 7 fields"))?;
    let [block_bytes, blocks, free, available, inodes, inodes_free, mount] = columns;
    let field = |bytes: &[u8], name: &str| {
        number::<u64>(bytes).ok_or_else(|| {
            let shown = SafeText::from_bytes_capped(bytes, 40);
            ParseError::line(index, format!("{name} is no count: '{shown}'"))
        })
    };
    let block_bytes = field(block_bytes, "block size")?;
    let (blocks, free) = (field(blocks, "blocks")?, field(free, "free blocks")?);
    // XFS and some network file systems report a "negative" avail as a huge number once only the reserve is left.
    let available = field(available, "available blocks")?.min(free);
    let (inodes, inodes_free) = (field(inodes, "inodes")?, field(inodes_free, "free inodes")?);
    if blocks < free {
        return Err(ParseError::line(index, format!("{free} blocks free of {blocks}")));
    }
    let usage = Usage {
        size_bytes: blocks.saturating_mul(block_bytes),
        used_bytes: (blocks - free).saturating_mul(block_bytes),
        available_bytes: available.saturating_mul(block_bytes),
        inodes,
        inodes_used: inodes.saturating_sub(inodes_free),
    };
    Ok(Some((mount.to_vec(), usage)))
}

/// mountinfo and fstab write space, tab, newline, backslash and `#` as `\040` and so on.
fn unescape_octal(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, tail)) = rest.split_first() {
        match rest {
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', tail @ ..] => {
                out.push((a - b'0') * 64 + (b - b'0') * 8 + (c - b'0'));
                rest = tail;
            }
            _ => {
                out.push(first);
                rest = tail;
            }
        }
    }
    out
}

#[cfg(test)]
#[path = "disk_tests.rs"]
mod tests;
