//! Files and directories.

use std::io::ErrorKind;

use ringlog_buffer::{BLOCK_BYTES, Chunk};
use ringlog_reactor::{Create, DirEntry, Durability, EntryKind, File, OpenOptions};

use crate::{Here, Setup, blocks, on_every_backend};

on_every_backend! {
    Setup::shards(1);
    what_is_written_is_read_back_past_the_cache,
    what_is_written_is_read_back_through_the_cache,
    several_slices_are_one_write,
    a_read_is_short_only_at_the_end,
    opening_follows_its_options,
    a_file_that_is_only_read_cannot_be_written,
    names_are_made_moved_and_removed,
    a_name_that_cannot_be_is_refused,
    a_directory_lists_what_is_in_it,
    a_file_is_allocated_cut_and_measured,
    a_lock_excludes_until_its_file_closes,
    a_removed_file_serves_those_who_have_it_open,
    free_space_is_known,
    total_space_is_known,
    what_lies_together_is_on_one_device,
    many_operations_are_in_flight_at_once,
}

const DIRECT: OpenOptions = OpenOptions { write: true, create: Create::New, direct: true };
const BUFFERED: OpenOptions = OpenOptions { write: true, create: Create::New, direct: false };
const EXISTING: OpenOptions = OpenOptions { write: true, create: Create::No, direct: false };

async fn read(file: &File, offset: u64, bytes: usize) -> Vec<u8> {
    let (count, chunk) = file.read(Chunk::with_capacity(bytes), offset, bytes).await;
    assert_eq!(count.expect("the file is readable"), chunk.len());
    chunk.to_vec()
}

async fn write_and_read_back(here: Here, options: OpenOptions, durability: Durability) {
    let file = here.reactor.open(here.path("f"), options).await.expect("a new file");
    for (at, salt) in [(0, 1), (3, 2), (1, 3)] {
        let offset = at * u64::try_from(BLOCK_BYTES).expect("a small number");
        file.write(vec![blocks(1, salt)], offset, durability).await.expect("the disk has room");
    }
    file.sync_data().await.expect("it is written");
    let bytes = read(&file, 0, 4 * BLOCK_BYTES).await;
    assert_eq!(bytes[..2 * BLOCK_BYTES], [&*blocks(1, 1), &*blocks(1, 3)].concat());
    assert_eq!(bytes[2 * BLOCK_BYTES..3 * BLOCK_BYTES], [0; BLOCK_BYTES], "a hole reads as zeros");
    assert_eq!(bytes[3 * BLOCK_BYTES..], *blocks(1, 2));
}

async fn what_is_written_is_read_back_past_the_cache(here: Here) {
    write_and_read_back(here, DIRECT, Durability::Dsync).await;
}

async fn what_is_written_is_read_back_through_the_cache(here: Here) {
    write_and_read_back(here, BUFFERED, Durability::None).await;
}

async fn several_slices_are_one_write(here: Here) {
    let file = here.reactor.open(here.path("f"), DIRECT).await.expect("a new file");
    let slices = vec![blocks(2, 7), blocks(1, 9), blocks(5, 11)];
    let expected: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
    file.write(slices, 4096, Durability::Dsync).await.expect("the disk has room");
    assert_eq!(read(&file, 4096, expected.len()).await, expected);
}

async fn a_read_is_short_only_at_the_end(here: Here) {
    let file = here.reactor.open(here.path("f"), BUFFERED).await.expect("a new file");
    file.write(vec![b"0123456789"[..].into()], 0, Durability::None).await.expect("the disk has room");
    assert_eq!(read(&file, 4, 100).await, b"456789");
    assert_eq!(read(&file, 10, 100).await, b"");
    assert_eq!(read(&file, 5000, 100).await, b"");
    // The spare part is what is read into: what the chunk holds already stays.
    let mut chunk = Chunk::with_capacity(100);
    chunk.append(b"kept ");
    let (count, chunk) = file.read(chunk, 0, 3).await;
    assert_eq!((count.expect("the file is readable"), &*chunk), (3, &b"kept 012"[..]));
}

async fn opening_follows_its_options(here: Here) {
    let path = here.path("f");
    let open = |options| here.reactor.open(path.clone(), options);
    assert_eq!(open(EXISTING).await.expect_err("it is missing").kind(), ErrorKind::NotFound);
    let file = open(DIRECT).await.expect("it is new");
    file.write(vec![blocks(1, 1)], 0, Durability::None).await.expect("the disk has room");
    assert_eq!(open(DIRECT).await.expect_err("it exists").kind(), ErrorKind::AlreadyExists);
    let if_missing = OpenOptions { create: Create::IfMissing, ..EXISTING };
    let again = open(if_missing).await.expect("it exists");
    assert!(!again.is_direct());
    assert_eq!(again.len().await.expect("it is open"), 4096, "it keeps its content");
    let inside = here.reactor.open(path.join("g"), BUFFERED).await;
    assert_eq!(inside.expect_err("a file has no files").kind(), ErrorKind::NotADirectory);
}

async fn a_file_that_is_only_read_cannot_be_written(here: Here) {
    here.reactor.open(here.path("f"), BUFFERED).await.expect("a new file");
    let file = here.reactor.open(here.path("f"), OpenOptions::default()).await.expect("it exists");
    file.write(vec![blocks(1, 1)], 0, Durability::None).await.expect_err("it is open for reading");
    assert!(file.is_empty().await.expect("it is open"));
}

async fn names_are_made_moved_and_removed(here: Here) {
    let reactor = &here.reactor;
    let (directory, file) = (here.path("d"), here.path("d/f"));
    reactor.create_dir(&directory).await.expect("a free name");
    assert_eq!(reactor.create_dir(&directory).await.expect_err("it exists").kind(), ErrorKind::AlreadyExists);
    reactor.open(&file, BUFFERED).await.expect("a new file");
    assert_eq!(reactor.remove_dir(&directory).await.expect_err("it is not empty").kind(), ErrorKind::DirectoryNotEmpty);
    let other = reactor.open(here.path("other"), BUFFERED).await.expect("a new file");
    other.write(vec![b"new"[..].into()], 0, Durability::None).await.expect("the disk has room");
    reactor.rename(here.path("other"), &file).await.expect("it replaces the file");
    assert_eq!(read(&reactor.open(&file, EXISTING).await.expect("it exists"), 0, 10).await, b"new");
    assert_eq!(reactor.rename(here.path("other"), &file).await.expect_err("it has moved").kind(), ErrorKind::NotFound);
    reactor.remove_file(&file).await.expect("it exists");
    assert_eq!(reactor.remove_file(&file).await.expect_err("it is gone").kind(), ErrorKind::NotFound);
    reactor.remove_dir(&directory).await.expect("it is empty");
    reactor.sync_dir(&here.directory).await.expect("it exists");
    assert_eq!(reactor.sync_dir(&directory).await.expect_err("it is gone").kind(), ErrorKind::NotFound);
    assert_eq!(reactor.sync_file_system(&directory).await.expect_err("it is gone").kind(), ErrorKind::NotFound);
    match reactor.sync_file_system(&here.directory).await {
        Ok(()) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}"),
    }
}

async fn a_name_that_cannot_be_is_refused(here: Here) {
    here.reactor.create_dir(here.path("a\0b")).await.expect_err("a name has no zero");
    here.reactor.create_dir(here.path(&"n".repeat(300))).await.expect_err("a name has 255 bytes");
}

async fn a_directory_lists_what_is_in_it(here: Here) {
    assert_eq!(here.reactor.read_dir(&here.directory).await.expect("it exists"), []);
    here.reactor.create_dir(here.path("b")).await.expect("a free name");
    let file = here.reactor.open(here.path("a"), BUFFERED).await.expect("a new file");
    file.write(vec![b"12345"[..].into()], 0, Durability::None).await.expect("the disk has room");
    let entries = here.reactor.read_dir(&here.directory).await.expect("it exists");
    let entry = |name: &str, kind, bytes| DirEntry { name: name.to_owned(), kind, bytes };
    assert_eq!(entries, [entry("a", EntryKind::File, 5), entry("b", EntryKind::Directory, 0)]);
    let missing = here.reactor.read_dir(here.path("c")).await;
    assert_eq!(missing.expect_err("it is missing").kind(), ErrorKind::NotFound);
}

async fn a_file_is_allocated_cut_and_measured(here: Here) {
    let file = here.reactor.open(here.path("f"), DIRECT).await.expect("a new file");
    assert!(file.is_empty().await.expect("it is open"));
    file.allocate(0, 1 << 20).await.expect("the disk has room");
    assert_eq!(file.len().await.expect("it is open"), 1 << 20);
    assert_eq!(read(&file, 0, BLOCK_BYTES).await, [0; BLOCK_BYTES], "allocated blocks read as zeros");
    file.write(vec![blocks(1, 5)], 8192, Durability::Dsync).await.expect("its blocks are there");
    file.truncate(8192 + 100).await.expect("it is open");
    assert_eq!(file.len().await.expect("it is open"), 8292);
    assert_eq!(read(&file, 8192, BLOCK_BYTES).await, blocks(1, 5)[..100]);
    file.truncate(1 << 16).await.expect("it is open");
    assert_eq!(file.len().await.expect("it is open"), 1 << 16);
}

async fn a_lock_excludes_until_its_file_closes(here: Here) {
    let path = here.path("lock");
    let first = here.reactor.open(&path, BUFFERED).await.expect("a new file");
    let second = here.reactor.open(&path, EXISTING).await.expect("it exists");
    first.lock().await.expect("nobody has it");
    assert_eq!(second.lock().await.expect_err("the first has it").kind(), ErrorKind::WouldBlock);
    drop(first);
    // Closing takes a moment where the kernel does it.
    while let Err(error) = second.lock().await {
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        here.reactor.yield_now().await;
    }
}

async fn a_removed_file_serves_those_who_have_it_open(here: Here) {
    let file = here.reactor.open(here.path("f"), DIRECT).await.expect("a new file");
    here.reactor.remove_file(here.path("f")).await.expect("it exists");
    file.write(vec![blocks(1, 3)], 0, Durability::None).await.expect("it is open");
    assert_eq!(read(&file, 0, BLOCK_BYTES).await, *blocks(1, 3));
}

async fn free_space_is_known(here: Here) {
    assert!(here.reactor.free_space(&here.directory).await.expect("it exists") > 0);
    let missing = here.reactor.free_space(here.path("missing")).await;
    assert_eq!(missing.expect_err("it is missing").kind(), ErrorKind::NotFound);
}

async fn total_space_is_known(here: Here) {
    let free = here.reactor.free_space(&here.directory).await.expect("it exists");
    assert!(here.reactor.total_space(&here.directory).await.expect("it exists") >= free);
    let missing = here.reactor.total_space(here.path("missing")).await;
    assert_eq!(missing.expect_err("it is missing").kind(), ErrorKind::NotFound);
}

async fn what_lies_together_is_on_one_device(here: Here) {
    here.reactor.create_dir(here.path("folder")).await.expect("a new folder");
    let device = here.reactor.device(&here.directory).await.expect("it exists");
    assert_eq!(here.reactor.device(here.path("folder")).await.expect("it exists"), device);
    let missing = here.reactor.device(here.path("missing")).await;
    assert_eq!(missing.expect_err("it is missing").kind(), ErrorKind::NotFound);
}

async fn many_operations_are_in_flight_at_once(here: Here) {
    const WRITES: u8 = 200;
    let file = here.reactor.open(here.path("f"), DIRECT).await.expect("a new file");
    let writes: Vec<_> = (0..WRITES)
        .map(|at| {
            let file = file.clone();
            here.reactor
                .spawn(async move { file.write(vec![blocks(1, at)], u64::from(at) * 4096, Durability::None).await })
        })
        .collect();
    for write in writes {
        write.await.expect("the disk has room");
    }
    for at in 0..WRITES {
        assert_eq!(read(&file, u64::from(at) * 4096, BLOCK_BYTES).await, *blocks(1, at));
    }
}
