//! Uploads of real clients into a broker that is ended with SIGKILL in the middle of one, and what is there afterwards.

use std::fs::File;
use std::io::{BufRead, BufReader, Read as _, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use ringlog_kit::broker::{Broker, Options};
use ringlog_kit::folder::Folder;
use ringlog_kit::{binary, lines};

/// Partitions of every topic: what `num.partitions` makes of a topic that a producer creates by naming it.
const PARTITIONS: usize = 12;

/// What a run is to be.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Bytes of text in every upload.
    pub bytes: u64,
    /// `ringlog.backend`, where it is not left to the broker.
    pub backend: Option<String>,
    /// Further settings of the broker, `key=value`.
    pub settings: Vec<(String, String)>,
}

/// A program that reads lines from its standard input and sends each as a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Uploader {
    /// `kcat -P`, with its default settings: a request that is tried again may be stored twice.
    Kcat,
    /// Kafka's console producer, which is idempotent by default.
    Java,
}

/// How often a line may be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Once, and in the order of sending within its partition.
    Once,
    /// Once or more.
    AtLeastOnce,
}

/// What a run measured, for its report.
#[derive(Debug, Clone)]
pub struct Report {
    /// Lines in every upload.
    pub lines: usize,
    /// From the second start's begin to its listening line, for every kill.
    pub recoveries: Vec<Duration>,
    /// Seconds of every upload, by its topic.
    pub uploads: Vec<(String, Duration)>,
}

impl Uploader {
    /// Whether the machine has the program.
    pub fn is_there(self) -> bool {
        let program = if self == Self::Kcat { "kcat" } else { "java" };
        let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).stdout(Stdio::null()).status();
        let jars = binary::top().join(".kafka/tools");
        found.is_ok_and(|status| status.success()) && (self == Self::Kcat || jars.is_dir())
    }

    /// What may be found of an upload through which the broker was killed.
    fn expected(self) -> Expected {
        if self == Self::Kcat { Expected::AtLeastOnce } else { Expected::Once }
    }

    /// The program, with few records on their way at a time: what it has read is nearly what was acknowledged.
    fn command(self, bootstrap: &str, topic: &str) -> Command {
        let text = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let (program, arguments) = match self {
            Self::Kcat => (PathBuf::from("kcat"), {
                let mut all =
                    text(&["-P", "-E", "-b", bootstrap, "-t", topic, "-X", "queue.buffering.max.messages=10000"]);
                all.extend(text(&["-X", "sticky.partitioning.linger.ms=0", "-X", "linger.ms=5"]));
                all
            }),
            Self::Java => (binary::top().join("tests/kafka/tool"), {
                let mut all = text(&["kafka-console-producer", "--bootstrap-server", bootstrap, "--topic", topic]);
                for property in
                    ["buffer.memory=2000000", "linger.ms=5", "max.block.ms=300000", "delivery.timeout.ms=300000"]
                {
                    all.extend(text(&["--command-property", property]));
                }
                all
            }),
        };
        let mut command = Command::new(program);
        command.args(arguments);
        command
    }
}

/// Runs the scenario with every uploader that is given. Says what it does on standard output.
pub fn run(plan: &Plan, uploaders: &[Uploader]) -> anyhow::Result<Report> {
    let folder = Folder::new("durability");
    let file = folder.path().join("text");
    lines::write_file(&file, plan.bytes, plan.bytes)?;
    let sent = Sent::read(&file)?;
    println!("{} lines, {} bytes", sent.lines(), sent.text.len());

    let mut options = Options::default().set("num.partitions", &PARTITIONS.to_string());
    options.settings.extend(plan.settings.iter().cloned());
    if let Some(backend) = &plan.backend {
        options = options.set("ringlog.backend", backend);
    }
    let mut broker = Broker::start_on(&folder.path().join("data"), options);
    let mut report = Report { lines: sent.lines(), recoveries: Vec::new(), uploads: Vec::new() };
    let mut topics = Vec::new();
    for uploader in uploaders {
        for (part, killed) in [("first", false), ("second", true)] {
            let topic = format!("{part}-{uploader:?}").to_lowercase();
            let from = Instant::now();
            let recovery = upload(&mut broker, *uploader, &topic, &file, killed)
                .with_context(|| format!("{topic}\n{}", broker.log().join("\n")))?;
            println!("{topic}: acknowledged after {:.1?}", from.elapsed());
            report.uploads.push((topic.clone(), from.elapsed()));
            report.recoveries.extend(recovery.inspect(|time| println!("{topic}: killed and back after {time:.1?}")));
            topics.push((topic, if killed { uploader.expected() } else { Expected::Once }));
        }
    }
    // Once more, with nobody writing: what is read below has gone through one more recovery.
    broker.kill();
    broker.restart();
    for (topic, expected) in &topics {
        check(&broker.bootstrap(), topic, &sent, *expected).with_context(|| topic.clone())?;
        println!("{topic}: all {} lines are there, to the byte", sent.lines());
    }
    Ok(report)
}

/// Feeds a file to an uploader and waits for its end. Where `killed`, the broker is ended when half of the text is read,
/// and started again. Answers how long that start took.
fn upload(
    broker: &mut Broker,
    uploader: Uploader,
    topic: &str,
    file: &Path,
    killed: bool,
) -> anyhow::Result<Option<Duration>> {
    let mut command = uploader.command(&broker.bootstrap(), topic);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("{command:?}"))?;
    let mut stdin = child.stdin.take().expect("piped");
    let mut errors = child.stderr.take().expect("piped");
    let (half_sent, half) = mpsc::channel();
    let mut text = BufReader::with_capacity(1 << 16, File::open(file)?);
    let middle = std::fs::metadata(file)?.len() / 2;
    let feeder = std::thread::spawn(move || -> std::io::Result<()> {
        let mut fed = 0;
        loop {
            let part = text.fill_buf()?;
            if part.is_empty() {
                return stdin.flush();
            }
            stdin.write_all(part)?;
            let count = part.len();
            text.consume(count);
            let before = fed;
            fed += u64::try_from(count).expect("a length fits");
            if before < middle && middle <= fed {
                // Nobody listens where the broker is left alone.
                let _ = half_sent.send(());
            }
        }
    });
    let said = std::thread::spawn(move || {
        let mut text = String::new();
        // What cannot be read cannot be reported; the exit code tells.
        let _ = errors.read_to_string(&mut text);
        text
    });
    let recovery = if killed {
        half.recv().context("the upload ended before its half")?;
        ensure!(is_running(&mut child)?, "the upload was over when its half had been read");
        broker.kill();
        let from = Instant::now();
        broker.restart();
        Some(from.elapsed())
    } else {
        None
    };
    let status = child.wait()?;
    let said = said.join().expect("reading does not panic");
    ensure!(status.success(), "{uploader:?}: {status}\n{said}");
    feeder.join().expect("feeding does not panic").context("feeding the upload")?;
    // kcat counts a record that it gave up as no failure of its own.
    ensure!(!said.contains("Delivery failed"), "{uploader:?} gave up a record:\n{said}");
    Ok(recovery)
}

fn is_running(child: &mut Child) -> anyhow::Result<bool> {
    Ok(child.try_wait()?.is_none())
}

/// What was sent: a text, and where each of its lines is.
#[derive(Debug)]
struct Sent {
    text: Vec<u8>,
    /// Where each line begins; one more at the end.
    starts: Vec<usize>,
}

impl Sent {
    fn read(file: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read(file)?;
        let ends = text.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
        let starts = std::iter::once(0).chain(ends).collect();
        Ok(Self { text, starts })
    }

    fn lines(&self) -> usize {
        self.starts.len() - 1
    }

    /// A line without its end.
    fn line(&self, number: usize) -> Option<&[u8]> {
        let (start, end) = (*self.starts.get(number)?, *self.starts.get(number + 1)?);
        Some(&self.text[start..end - 1])
    }
}

/// Reads a topic to its end with kcat, and holds every record against the line that it says it is.
fn check(bootstrap: &str, topic: &str, sent: &Sent, expected: Expected) -> anyhow::Result<()> {
    let mut reader = Command::new("kcat");
    reader.args(["-C", "-q", "-b", bootstrap, "-t", topic, "-o", "beginning", "-e", "-f", "%p %o %s\\n"]);
    reader.args(["-X", "fetch.wait.max.ms=100", "-X", "check.crcs=true"]);
    let mut child = reader.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("kcat")?;
    let mut tally = Tally::new(sent, expected);
    let mut row = Vec::new();
    let mut from = BufReader::with_capacity(1 << 20, child.stdout.take().expect("piped"));
    loop {
        row.clear();
        if from.read_until(b'\n', &mut row)? == 0 {
            break;
        }
        if let Err(why) = tally.add(row.strip_suffix(b"\n").unwrap_or(&row)) {
            // The reader has more to say than anybody hears.
            let _ = child.kill();
            child.wait()?;
            return Err(why);
        }
    }
    let status = child.wait()?;
    ensure!(status.success(), "reading: {status}");
    tally.finish()
}

/// What was found so far.
struct Tally<'a> {
    sent: &'a Sent,
    expected: Expected,
    found: Vec<u32>,
    next_offset: [u64; PARTITIONS],
    next_line: [usize; PARTITIONS],
}

impl<'a> Tally<'a> {
    fn new(sent: &'a Sent, expected: Expected) -> Self {
        let found = vec![0; sent.lines()];
        Self { sent, expected, found, next_offset: [0; PARTITIONS], next_line: [0; PARTITIONS] }
    }

    /// Takes `partition offset line`.
    fn add(&mut self, row: &[u8]) -> anyhow::Result<()> {
        let mut parts = row.splitn(3, |byte| *byte == b' ');
        let mut number = || -> Option<u64> { std::str::from_utf8(parts.next()?).ok()?.parse().ok() };
        let (partition, offset) = number().zip(number()).context("kcat printed no partition and offset")?;
        let line = parts.next().context("kcat printed no value")?;
        let partition = usize::try_from(partition)?;
        ensure!(partition < PARTITIONS, "a partition {partition}");
        let due = self.next_offset[partition];
        ensure!(offset == due, "partition {partition}: offset {offset} where {due} is due");
        self.next_offset[partition] += 1;
        let digits = line.split(|byte| *byte == b' ').next().and_then(|word| std::str::from_utf8(word).ok());
        let number: usize = digits.and_then(|word| word.parse().ok()).context("a value that begins with no number")?;
        let place = format!("partition {partition}, offset {offset}");
        ensure!(self.sent.line(number) == Some(line), "{place}: the bytes are not those of line {number}");
        if self.expected == Expected::Once {
            ensure!(number >= self.next_line[partition], "{place}: line {number} again, or out of order");
            self.next_line[partition] = number + 1;
        }
        self.found[number] += 1;
        Ok(())
    }

    fn finish(&self) -> anyhow::Result<()> {
        let missing: Vec<usize> = (0..self.found.len()).filter(|number| self.found[*number] == 0).collect();
        if let Some(first) = missing.first() {
            bail!("{} acknowledged lines are missing, the first is {first}", missing.len());
        }
        let twice = self.found.iter().filter(|count| **count > 1).count();
        ensure!(self.expected == Expected::AtLeastOnce || twice == 0, "{twice} lines are there more than once");
        ensure!(self.next_offset.iter().all(|count| *count > 0), "a partition has no line: {:?}", self.next_offset);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent() -> Sent {
        let text: Vec<u8> = (0..24).flat_map(|i| format!("{i} a b\n").into_bytes()).collect();
        let starts =
            std::iter::once(0).chain(text.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(at, _)| at + 1));
        Sent { starts: starts.collect(), text }
    }

    fn tally(expected: Expected, rows: &[String]) -> anyhow::Result<()> {
        let sent = sent();
        let mut tally = Tally::new(&sent, expected);
        rows.iter().try_for_each(|row| tally.add(row.as_bytes()))?;
        tally.finish()
    }

    fn rows() -> Vec<String> {
        (0..24).map(|i| format!("{} {} {i} a b", i % 12, i / 12)).collect()
    }

    #[test]
    fn what_is_whole_passes_and_every_loss_is_seen() {
        assert!(tally(Expected::Once, &rows()).is_ok());
        let refuses = |change: fn(&mut Vec<String>)| {
            let mut changed = rows();
            change(&mut changed);
            tally(Expected::Once, &changed).is_err()
        };
        assert!(refuses(|rows| drop(rows.pop())), "a line is missing");
        assert!(refuses(|rows| rows[3] = "3 0 3 a c".to_owned()), "a byte differs");
        assert!(refuses(|rows| rows[3] = "3 1 3 a b".to_owned()), "an offset is left out");
        assert!(refuses(|rows| rows.swap(3, 15)), "offsets are not in order");
        assert!(refuses(|rows| rows.push("0 2 0 a b".to_owned())), "a line is there twice");
        assert!(refuses(|rows| rows.push("0 2 99 a b".to_owned())), "a line that nobody sent");
    }

    #[test]
    fn a_line_may_be_there_twice_where_a_producer_may_repeat_itself() {
        let mut twice = rows();
        twice.push("0 2 0 a b".to_owned());
        assert!(tally(Expected::AtLeastOnce, &twice).is_ok());
    }
}
