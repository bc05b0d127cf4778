//! The [read] settings of the drive that a path is on:
//! rustc --edition 2021 aio_settings.rs && ./aio_settings PATH [SYS [PROFILES]]
use std::{collections::HashMap, env, fs, os::unix::fs::MetadataExt, path::Path};

struct Settings {
    block_size: u64,
    queue_depth: u32,
    io_parallelism: u32,
    overlap_events: bool,
    single_submit: bool,
}

const DEFAULT: Settings = Settings {
    block_size: 1048576,
    queue_depth: 8,
    io_parallelism: 1,
    overlap_events: true,
    single_submit: false,
};

/// None if the profile is another drive's, or its reads were skipped.
fn from_profile(text: &str, wwid: &str) -> Option<Settings> {
    let (mut section, mut values) = ("", HashMap::new());
    for line in text.lines() {
        if line.starts_with('[') {
            section = line;
        } else if let Some((key, value)) = line.split_once(" = ") {
            values.insert((section, key), value);
        }
    }
    let known = matches!(*values.get(&("", "schema"))?, "1" | "2");
    if !known || *values.get(&("[device]", "id"))? != format!("\"{wwid}\"") {
        return None;
    }
    let read = |key| values.get(&("[read]", key));
    Some(Settings {
        block_size: read("block_size")?.parse().ok()?,
        queue_depth: read("queue_depth")?.parse().ok()?,
        io_parallelism: read("io_parallelism")?.parse().ok()?,
        overlap_events: read("overlap_events")?.parse().ok()?,
        single_submit: read("single_submit")?.parse().ok()?,
    })
}

fn settings(path: &str, sys: &str, profiles: &str) -> Option<Settings> {
    let number = fs::metadata(path).ok()?.dev();
    let (major, minor) = (number >> 8 & 0xfff, number & 0xff | number >> 12 & 0xfff00);
    let mut disk = format!("{sys}/dev/block/{major}:{minor}");
    if Path::new(&disk).join("partition").exists() {
        disk += "/.."; // the kernel follows the link first: the partition's disk
    }
    let wwid = fs::read_to_string(disk + "/wwid").ok()?;
    let files = fs::read_dir(profiles).ok()?.flatten().map(|entry| entry.path());
    files
        .filter(|file| file.extension() == Some("toml".as_ref()))
        .find_map(|file| from_profile(&fs::read_to_string(file).ok()?, wwid.trim()))
}

fn main() {
    let argument = |place, default: &str| env::args().nth(place).unwrap_or(default.into());
    let found = settings(&argument(1, "."), &argument(2, "/sys"), &argument(3, "/etc/aio-tuned"));
    let s = found.unwrap_or(DEFAULT);
    println!("block_size={}\nqueue_depth={}\nio_parallelism={}", s.block_size, s.queue_depth, s.io_parallelism);
    println!("overlap_events={}\nsingle_submit={}", s.overlap_events, s.single_submit);
}
