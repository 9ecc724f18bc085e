use super::*;

const ROOT: &str = "m 254:0 / / rw,relatime ext4 /dev/vda rw\n";

fn show(reading: &DiskReading) -> String {
    let filesystem = |fs: &Filesystem| {
        let usage = fs.usage.map_or("?".to_owned(), |usage| {
            format!("{}/{} {:.1}%", usage.used_bytes, usage.size_bytes, usage.used_percent())
        });
        format!("{}{} {usage}", fs.mount, if fs.read_only { " ro" } else { "" })
    };
    reading.filesystems.iter().map(filesystem).collect::<Vec<_>>().join("; ")
}

fn check(output: &str, expected: &str) {
    let shown = match parse(output.as_bytes()) {
        Ok(reading) => show(&reading),
        Err(error) => format!("error: {error}"),
    };
    assert_eq!(shown, expected);
}

#[test]
fn empty_output_is_no_data_and_not_zero() {
    check("", "error: no data");
}

#[test]
fn used_percent_is_of_what_a_user_could_use() {
    check(&format!("{ROOT}s 4096 100 40 30 10 5 /\n"), "/ 245760/409600 66.7%");
}

#[test]
fn a_mount_point_with_a_space_is_found_again() {
    check("m 8:1 / /mnt/my\\040disk rw ext4 /dev/sda1 rw\ns 1 10 5 5 1 1 /mnt/my disk\n", "/mnt/my disk 5/10 50.0%");
}

#[test]
fn a_bind_mount_of_the_same_device_is_left_out() {
    check(
        &format!(
            "{ROOT}m 254:0 /etc/hosts /etc/hosts rw ext4 /dev/vda rw\ns 1 10 5 5 1 1 /\ns 1 10 5 5 1 1 /etc/hosts\n"
        ),
        "/ 5/10 50.0%",
    );
}

#[test]
fn a_read_only_super_block_is_read_only_and_a_read_only_bind_is_not() {
    check(
        "m 8:1 / /a rw ext4 /dev/sda1 ro\nm 8:2 / /b ro ext4 /dev/sdb1 rw\ns 1 10 5 5 1 1 /a\ns 1 10 5 5 1 1 /b\n",
        "/a ro 5/10 50.0%; /b 5/10 50.0%",
    );
}

#[test]
fn a_mount_that_refused_statfs_is_shown_without_numbers() {
    check(ROOT, "/ ?");
}

#[test]
fn more_free_than_there_is_becomes_an_error_that_names_the_line() {
    check(&format!("{ROOT}s 1 10 50 5 1 1 /\n"), "error: line 2: 50 blocks free of 10");
}

#[test]
fn negative_counts_are_refused() {
    check(&format!("{ROOT}s 1 -10 5 5 1 1 /\n"), "error: line 2: blocks is no count: '-10'");
}

#[test]
fn the_largest_counts_saturate() {
    check(
        &format!("{ROOT}s 4096 18446744073709551615 0 0 1 1 /\n"),
        "/ 18446744073709551615/18446744073709551615 100.0%",
    );
}

#[test]
fn gnu_df_serves_hosts_without_stat() {
    let df = "Filesystem     1024-blocks     Used Available Capacity Mounted on\n/dev/vda 100 60 30      67% /\n\
              Filesystem     Inodes IUsed IFree IUse% Mounted on\n/dev/vda 1000 500 500 50% /\n";
    check(&format!("{ROOT}{df}"), "/ 61440/102400 66.7%");
}

#[test]
fn a_localised_df_header_is_no_row() {
    let df = "Dateisystem 1024-Blöcke Benutzt Verfügbar Kapazität Eingehängt auf\n/dev/vda 100 60 30 67% /\n";
    check(&format!("{ROOT}{df}"), "/ 61440/102400 66.7%");
}

#[test]
fn a_df_row_with_a_negative_available_is_full() {
    check(&format!("{ROOT}Filesystem x\n/dev/vda 100 100 -5 105% /\n"), "/ 102400/102400 100.0%");
}

#[test]
fn a_df_row_that_is_cut_is_refused() {
    check(&format!("{ROOT}Filesystem x\n/dev/vda 100% /\n"), "error: line 3: df's row needs 6 columns");
}

#[test]
fn nfs_and_fuse_go_to_the_slow_lane() {
    let reading =
        parse(format!("{ROOT}m 0:44 / /data rw nfs4 nas:/x rw\nm 0:45 / /f rw fuse.sshfs u@h: rw\n").as_bytes());
    let mounts: Vec<String> =
        reading.iter().flat_map(|reading| &reading.slow_mounts).map(|slow| slow.mount.to_string()).collect();
    assert_eq!(mounts, ["/data", "/f"]);
}

#[test]
fn a_degraded_raid_is_seen_at_first_sight() {
    let output = format!(
        "{ROOT}r Personalities : [raid1]\nr md0 : active raid1 sdb1[1](F) sda1[0]\nr       1000 blocks super 1.2 [2/1] [U_]\nr       [=>....]  recovery = 12.6% (1/8) finish=127.5min\n"
    );
    let reading = parse(output.as_bytes()).unwrap_or_default();
    let array = &reading.arrays[0];
    assert_eq!((array.devices_wanted, array.devices_up, array.level.as_str()), (2, 1, "raid1"));
    assert!(array.activity.as_ref().is_some_and(|activity| activity.as_str().starts_with("recovery = 12.6%")));
}

#[test]
fn a_hostile_mount_name_is_shown_escaped() {
    let output = b"m 8:1 / /mnt/\x1b]52;c;x rw ext4 /dev/sda1 rw\n";
    let reading = parse(output).unwrap_or_default();
    assert_eq!(reading.filesystems[0].mount.as_str(), "/mnt/␛]52;c;x");
}

proptest::proptest! {
    #[test]
    fn no_output_makes_the_parser_panic(output in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
        let _ = parse(&output);
    }
}
