//! Sealed segments on a real file system, read by Apache Kafka's own dump tool. Skipped, with a line that says so, where
//! there is no Java or the jars are not in `.kafka/`.
#![forbid(unsafe_code)]

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use ringlog_buffer::Chunk;
use ringlog_storage::answer::{AppendOrigin, NewBatch, StoreEvent};
use ringlog_storage::batch::{BatchBuilder, BatchView, Codec, Record};
use ringlog_storage::config::{LogConfig, StoreConfig};
use ringlog_storage::io::{DirEntry, EntryKind, IoErrorKind, IoOp, IoOutput, IoResult};
use ringlog_storage::types::{LeaderEpoch, Millis, Nanos, PartitionIndex, ShardId, TopicPartition, Uuid};
use ringlog_storage::{LogDir, LogDirs, Recovery, Store};

/// Performs an operation below `root`.
fn perform(root: &Path, op: &IoOp) -> std::io::Result<IoOutput> {
    let open = |path: &str| OpenOptions::new().read(true).write(true).open(root.join(path));
    match op {
        IoOp::List { path } => {
            let mut entries = Vec::new();
            for entry in fs::read_dir(root.join(&**path))? {
                let (entry, name) = entry.map(|entry| (entry.metadata(), entry.file_name()))?;
                let found = entry?;
                let kind = if found.is_dir() { EntryKind::Directory } else { EntryKind::File };
                entries.push(DirEntry { name: name.to_string_lossy().into_owned(), kind, bytes: found.len() });
            }
            return Ok(IoOutput::Listing(entries));
        }
        IoOp::CreateDir { path } => fs::create_dir_all(root.join(&**path))?,
        IoOp::Create { file, allocate_bytes: bytes } | IoOp::Allocate { file, bytes } => {
            let file = OpenOptions::new().write(true).create(true).truncate(false).open(root.join(&*file.path))?;
            if file.metadata()?.len() < *bytes {
                file.set_len(*bytes)?;
            }
        }
        IoOp::Write { file, offset, data, .. } => {
            let bytes: Vec<u8> = data.iter().flat_map(|slice| slice.iter().copied()).collect();
            open(&file.path)?.write_all_at(&bytes, *offset)?;
        }
        IoOp::Read { file, offset, bytes } => {
            let content = fs::read(root.join(&*file.path))?;
            let start = usize::try_from(*offset).expect("small").min(content.len());
            let mut chunk = Chunk::with_capacity(*bytes);
            chunk.append(&content[start..(start + bytes).min(content.len())]);
            return Ok(IoOutput::Read(chunk));
        }
        IoOp::Sync { .. } | IoOp::SyncDir { .. } | IoOp::SyncAll { .. } | IoOp::Close { .. } => {}
        IoOp::Truncate { file, bytes } => open(&file.path)?.set_len(*bytes)?,
        IoOp::Rename { from, to } => fs::rename(root.join(&**from), root.join(&**to))?,
        IoOp::RemoveFile { file } => remove(fs::remove_file(root.join(&*file.path)))?,
        IoOp::RemoveDir { path } => remove(fs::remove_dir_all(root.join(&**path)))?,
    }
    Ok(IoOutput::Done)
}

/// What is missing already is as good as removed.
fn remove(result: std::io::Result<()>) -> std::io::Result<()> {
    result.or_else(|error| if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

fn answer(root: &Path, op: &IoOp) -> IoResult {
    perform(root, op).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => IoErrorKind::NotFound,
        _ => IoErrorKind::Other(error.raw_os_error().unwrap_or(0)),
    })
}

fn start(root: &Path) -> Store {
    let mut recovery = Recovery::new(Millis::new(1), LogDirs::default());
    while let Some(io) = recovery.poll_io() {
        let result = answer(root, &io.op);
        recovery.io_done(io.id, result);
    }
    let mut shards = recovery.finish().expect("the folder is in order").into_shards(1, |_| ShardId::new(0));
    Store::new(StoreConfig::new(ShardId::new(0)), shards.remove(0))
}

/// Performs all that the store asks for. Answers whether it has told that it is closed.
fn drive(root: &Path, store: &mut Store) -> bool {
    let mut closed = false;
    while let Some(io) = store.poll_io(Nanos::new(1)) {
        let result = answer(root, &io.op);
        store.io_done(io.id, result, Nanos::new(1));
    }
    while let Some(event) = store.poll_event() {
        closed |= matches!(event, StoreEvent::Closed);
    }
    closed
}

/// Fills a partition with batches of every codec, until it has several segments. Answers the path of the first.
fn sealed_segment(root: &Path) -> PathBuf {
    let mut store = start(root);
    let name = TopicPartition::new("dumped", PartitionIndex::new(0));
    let config = LogConfig { segment_bytes: 256 << 10, ..LogConfig::default() };
    let id = store.create_partition(name, Uuid::from_u128(77), config, LogDir::HOME).expect("there is room");
    for number in 0..400_i64 {
        let codec = Codec::ALL[usize::try_from(number % 5).expect("small")];
        let mut builder = BatchBuilder::new().compression(codec);
        for part in 0..20 {
            let value = format!("record {part} of batch {number}: {}", "abcdefgh".repeat(20));
            builder.push(&Record {
                timestamp: Millis::new(1_700_000_000_000 + number),
                key: Some(b"key"),
                value: Some(value.as_bytes()),
                ..Record::default()
            });
        }
        let bytes = builder.build();
        let (view, _) = BatchView::parse(&bytes).expect("just built");
        let batch = NewBatch::from(&view);
        store.append(id, batch, AppendOrigin::Client, LeaderEpoch::new(3), Millis::new(1)).expect("there is room");
        drive(root, &mut store);
    }
    store.shutdown();
    assert!(drive(root, &mut store), "everything is written");
    root.join("dumped-0/00000000000000000000.log")
}

#[test]
fn kafka_reads_a_sealed_segment() {
    let root = std::env::temp_dir().join(format!("ringlog-dump-{}", std::process::id()));
    remove(fs::remove_dir_all(&root)).expect("an old folder can be removed");
    fs::create_dir_all(&root).expect("a folder can be made");
    let segment = sealed_segment(&root);
    let length = File::open(&segment).and_then(|file| file.metadata()).expect("it is there").len();
    assert!(length > 200_000 && length <= 256 << 10, "it is trimmed: {length}");
    let jars = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.kafka");
    let have_java = Command::new("java").arg("-version").output().is_ok_and(|output| output.status.success());
    if !have_java || !jars.join("tools").is_dir() {
        assert!(std::env::var_os("CI").is_none(), "CI has Java and Kafka's jars");
        println!("skipped: the dump tool wants java and Kafka's jars in .kafka/");
    } else {
        let classes = format!("{}/tools/*", jars.display());
        let output = Command::new("java")
            .args(["-cp", &classes, "org.apache.kafka.tools.DumpLogSegments", "--deep-iteration", "--files"])
            .arg(&segment)
            .output()
            .expect("java runs");
        let text = String::from_utf8_lossy(&output.stdout);
        let batches = text.lines().filter(|line| line.contains("baseOffset:")).collect::<Vec<_>>();
        let records = text.lines().filter(|line| line.trim_start().starts_with("| offset:")).count();
        println!("{} batches, {records} records, {length} bytes", batches.len());
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        assert!(batches.iter().all(|line| line.contains("isvalid: true") && line.contains("partitionLeaderEpoch: 3")));
        assert!(batches.len() > 50 && records == batches.len() * 20, "{text}");
    }
    // And it can be opened again.
    let store = start(&root);
    assert_eq!(store.unclaimed().count(), 1);
    fs::remove_dir_all(&root).expect("the folder can be removed");
}
