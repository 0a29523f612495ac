//! Lines of files and of standard input, read on a shard of their own: reading a pipe blocks.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::AsFd as _;
use std::time::Duration;

use anyhow::Context as _;
use ringlog_reactor::{Mesh, Reactor};

/// Bytes that are read at once.
const READ_BYTES: usize = 256 * 1024;
/// The longest line: more than a broker takes as a record, unless it is configured for it.
pub(super) const LINE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What the reading shard sends.
#[derive(Debug)]
pub(super) enum Block {
    /// Whole lines, each ended by a line feed.
    Lines(Vec<u8>),
    /// There are no more.
    End,
    /// An input cannot be read to its end.
    Failed(String),
}

/// Something to read lines from.
#[derive(Debug)]
pub(super) struct Input {
    name: String,
    file: File,
}

impl Input {
    /// Opens files, or standard input where there are none.
    pub(super) fn open_all(names: &[String]) -> anyhow::Result<Vec<Self>> {
        if names.is_empty() {
            return Ok(vec![Self::standard()?]);
        }
        let open = |name: &String| match name.as_str() {
            "-" => Self::standard(),
            name => Ok(Self { name: name.to_owned(), file: File::open(name).with_context(|| name.to_owned())? }),
        };
        names.iter().map(open).collect()
    }

    fn standard() -> anyhow::Result<Self> {
        let descriptor = io::stdin().as_fd().try_clone_to_owned().context("standard input")?;
        Ok(Self { name: "standard input".to_owned(), file: File::from(descriptor) })
    }

    /// Bytes of all inputs, if that is known before they are read.
    pub(super) fn bytes(inputs: &[Self]) -> Option<u64> {
        let bytes = |input: &Self| input.file.metadata().ok().filter(std::fs::Metadata::is_file).map(|it| it.len());
        inputs.iter().map(bytes).sum()
    }
}

/// Reads everything, and sends it to shard `to`.
pub(super) async fn read(reactor: &Reactor, mesh: &Mesh<Block>, to: usize, inputs: &[Input]) {
    for input in inputs {
        let mut lines = Lines::default();
        loop {
            let (block, is_last) = match lines.read(&input.file) {
                Ok(Some(block)) => (Block::Lines(block), false),
                Ok(None) => match lines.rest() {
                    Some(block) => (Block::Lines(block), true),
                    None => break,
                },
                Err(error) => {
                    mesh.send(to, Block::Failed(format!("{}: {error}", input.name))).await;
                    return;
                }
            };
            mesh.send(to, block).await;
            // The message leaves at the end of the reactor's turn, which has to come before the next read blocks.
            reactor.sleep(Duration::from_nanos(1)).await;
            if is_last {
                break;
            }
        }
    }
    mesh.send(to, Block::End).await;
}

/// Cuts what is read at line feeds.
#[derive(Debug, Default)]
struct Lines {
    /// The beginning of a line whose end was not read yet.
    begun: Vec<u8>,
}

impl Lines {
    /// The next whole lines; `None` at the end of the input.
    fn read(&mut self, mut file: impl io::Read) -> io::Result<Option<Vec<u8>>> {
        loop {
            let searched = self.begun.len();
            let room = READ_BYTES.max(searched.min(LINE_BYTES_MAX));
            let count = file.by_ref().take(room as u64).read_to_block(&mut self.begun, room)?;
            if count == 0 {
                return Ok(None);
            }
            if let Some(at) = self.begun[searched..].iter().rposition(|byte| *byte == b'\n') {
                let next = self.begun.split_off(searched + at + 1);
                return Ok(Some(std::mem::replace(&mut self.begun, next)));
            }
            if self.begun.len() > LINE_BYTES_MAX {
                return Err(io::Error::other(format!("a line is longer than {LINE_BYTES_MAX} bytes")));
            }
        }
    }

    /// The last line, if no line feed ended it; it gets one.
    fn rest(&mut self) -> Option<Vec<u8>> {
        let mut rest = std::mem::take(&mut self.begun);
        if rest.is_empty() {
            return None;
        }
        rest.push(b'\n');
        Some(rest)
    }
}

/// One read, appended to a block.
trait ReadToBlock {
    fn read_to_block(&mut self, block: &mut Vec<u8>, room: usize) -> io::Result<usize>;
}

impl<R: io::Read> ReadToBlock for R {
    fn read_to_block(&mut self, block: &mut Vec<u8>, room: usize) -> io::Result<usize> {
        let before = block.len();
        block.resize(before + room, 0);
        let result = loop {
            match self.read(&mut block[before..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result,
            }
        };
        block.truncate(before + *result.as_ref().unwrap_or(&0));
        result
    }
}

/// The first line, without its line feed, and what is behind it.
pub(super) fn first_line(lines: &[u8]) -> (&[u8], &[u8]) {
    match lines.iter().position(|byte| *byte == b'\n') {
        Some(at) => (&lines[..at], &lines[at + 1..]),
        None => (lines, &[]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives a few bytes at a time, as a pipe does.
    struct Dripping<'a>(&'a [u8], usize);

    impl io::Read for &mut Dripping<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.1.min(self.0.len()).min(buffer.len());
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    fn lines_of(text: &str, drip: usize) -> Vec<String> {
        let mut input = Dripping(text.as_bytes(), drip);
        let mut lines = Lines::default();
        let mut blocks = Vec::new();
        while let Some(block) = lines.read(&mut input).expect("memory can be read") {
            blocks.push(block);
        }
        blocks.extend(lines.rest());
        let mut found = Vec::new();
        for block in &blocks {
            let mut rest = &block[..];
            while !rest.is_empty() {
                let (line, after) = first_line(rest);
                found.push(String::from_utf8_lossy(line).into_owned());
                rest = after;
            }
        }
        found
    }

    #[test]
    fn lines_come_whole_however_they_are_read() {
        for drip in [1, 2, 3, 7, 1000] {
            assert_eq!(lines_of("one\ntwo\n\nfour\r\nfive", drip), ["one", "two", "", "four\r", "five"], "{drip}");
            assert_eq!(lines_of("", drip), [""; 0]);
            assert_eq!(lines_of("\n", drip), [""]);
            assert_eq!(lines_of("one\n", drip), ["one"]);
        }
    }
}
