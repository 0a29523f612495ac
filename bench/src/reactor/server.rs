//! A server to be measured, as a process of its own, and what runs in it on our reactor.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Stdio};
use std::rc::Rc;

use anyhow::{Context as _, anyhow, bail};
use ringlog_buffer::{Chunk, Slice};
use ringlog_reactor::{
    BackendChoice, Create, Durability, File, Limits, ListenOptions, Mesh, OpenOptions, Reactor, ShardSpec, launch,
};

use super::{Contender, Region, SIZE_FIELD_BYTES, Work, message};
use crate::Setup;
use crate::broker;
use crate::client::Connection;
use crate::interrupt::{Leftovers, Process};

/// The hidden subcommand that serves.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Serve {
    #[arg(value_enum)]
    contender: Contender,
    #[arg(value_enum)]
    work: Work,
    /// Where its file is.
    file: PathBuf,
}

/// A running server, ended when dropped.
#[derive(Debug)]
pub(super) struct Server {
    process: Process,
    _output: BufReader<ChildStdout>,
    pub(super) address: SocketAddr,
    /// Goes behind the process that writes it: fields are dropped in their order.
    _leftovers: Leftovers,
}

impl Server {
    pub(super) fn start(setup: &Setup, work: Work, contender: Contender) -> anyhow::Result<Self> {
        let file = broker::folder(setup)?.join(format!("reactor-{}", std::process::id()));
        let leftovers = Leftovers::at(&file);
        let mut command = Command::new(std::env::current_exe().context("this program's path")?);
        command.args(["reactor-serve", contender.name(), work.name()]).arg(&file);
        command.arg("--broker-core").arg(setup.broker_core.to_string());
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = Process::start(&mut command).context("a server")?;
        let mut output = BufReader::new(process.0.stdout.take().expect("it is piped"));
        let mut line = String::new();
        output.read_line(&mut line).context("what the server prints")?;
        let Some(address) = broker::listening(&line) else {
            bail!("the {} server did not say where it listens, but: {line:?}", contender.name());
        };
        Ok(Self { process, _output: output, address, _leftovers: leftovers })
    }

    pub(super) fn id(&self) -> u32 {
        self.process.0.id()
    }
}

/// Serves until the process is ended.
pub(crate) fn serve(setup: &Setup, serve: &Serve) -> anyhow::Result<()> {
    if serve.work.write_bytes().is_some() {
        write_whole(&serve.file)?;
    }
    let backend = match serve.contender {
        Contender::Uring => BackendChoice::Uring,
        Contender::Posix => BackendChoice::Posix,
        #[cfg(feature = "glommio")]
        Contender::Glommio => return super::glommio::serve(setup.broker_core, serve.work, &serve.file),
    };
    let (work, file) = (serve.work, serve.file.clone());
    let main = move |reactor: Reactor, _mesh: Mesh<()>| accept(reactor, work, file.clone());
    let shards = launch(&[ShardSpec { core: Some(setup.broker_core) }], backend, Limits::default(), main)?;
    let ended = shards.join().map_err(|_| anyhow!("the server has panicked"))?;
    ended.into_iter().next().context("one shard")?
}

/// Writes every block of the file once, so that what is measured is written over blocks that exist.
fn write_whole(path: &Path) -> anyhow::Result<()> {
    let mut file = fs::File::create(path).with_context(|| path.display().to_string())?;
    let region = vec![0; usize::try_from(Region::BYTES)?];
    for _ in 0..Region::COUNT {
        file.write_all(&region)?;
    }
    Ok(file.sync_all()?)
}

/// Says where the server listens.
pub(super) fn tell(address: SocketAddr) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "listening on {address}")?;
    Ok(out.flush()?)
}

async fn accept(reactor: Reactor, work: Work, path: PathBuf) -> anyhow::Result<()> {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let listener = reactor.listen(any, ListenOptions::default()).await?;
    let append = match work.write_bytes() {
        None => None,
        Some(bytes) => {
            let options = OpenOptions { write: true, create: Create::No, direct: true };
            let file = reactor.open(path, options).await?;
            anyhow::ensure!(file.is_direct(), "this file system knows no direct writes");
            let mut block = Chunk::with_capacity(bytes);
            block.append(&vec![b'b'; bytes]);
            Some((file, block.freeze()))
        }
    };
    tell(listener.local_addr())?;
    for number in 0.. {
        let (socket, _) = listener.accept().await?;
        let connection = Connection::over(socket, work.receive());
        let append = match (&append, work.write_bytes()) {
            (Some((file, block)), Some(bytes)) => {
                Some(Append { file: file.clone(), block: block.clone(), region: Rc::new(Region::new(number, bytes)?) })
            }
            _ => None,
        };
        drop(reactor.spawn(async move {
            // A client that has gone away is no failure.
            drop(converse(connection, work, append).await);
        }));
    }
    Ok(())
}

/// What is written for each request of a connection.
struct Append {
    file: File,
    block: Slice,
    region: Rc<Region>,
}

async fn converse(mut connection: Connection, work: Work, append: Option<Append>) -> anyhow::Result<()> {
    let sender = connection.sender();
    let answer = message(work.message_bytes())?;
    let size = answer.slice(0..SIZE_FIELD_BYTES);
    loop {
        let request = connection.response().await?;
        match &append {
            None => sender.send(vec![size.clone(), request]).await?,
            Some(Append { file, block, region }) => {
                drop(request);
                file.write(vec![block.clone()], region.next_offset(), Durability::Dsync).await?;
                sender.send(vec![answer.clone()]).await?;
            }
        }
    }
}
