//! The same server on glommio. It has no flag for one durable write, so its file is opened with `O_DSYNC`, which makes
//! every write what `RWF_DSYNC` makes ours.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context as _, anyhow};
use futures_util::io::{AsyncReadExt as _, AsyncWriteExt as _};
use glommio::io::{DmaBuffer, DmaFile, OpenOptions};
use glommio::net::{TcpListener, TcpStream};
use glommio::{LocalExecutorBuilder, Placement};

use super::server::tell;
use super::{Region, SIZE_FIELD_BYTES, Work, message};

/// Serves until the process is ended.
pub(super) fn serve(core: usize, work: Work, path: &Path) -> anyhow::Result<()> {
    let path = path.to_owned();
    let executor = LocalExecutorBuilder::new(Placement::Fixed(core)).spawn(move || accept(work, path));
    let executor = executor.map_err(|error| anyhow!("glommio cannot be set up: {error}"))?;
    executor.join().map_err(|error| anyhow!("glommio has ended: {error}"))?
}

async fn accept(work: Work, path: PathBuf) -> anyhow::Result<()> {
    let refused = |error: glommio::GlommioError<()>| anyhow!("{error}");
    let listener = TcpListener::bind("127.0.0.1:0").map_err(refused)?;
    let append = match work.write_bytes() {
        None => None,
        Some(bytes) => {
            let durable = i32::try_from(rustix::fs::OFlags::DSYNC.bits())?;
            let mut options = OpenOptions::new();
            let file = options.read(true).write(true).custom_flags(durable).dma_open(path).await.map_err(refused)?;
            let mut block = file.alloc_dma_buffer(bytes);
            block.as_bytes_mut().fill(b'b');
            Some((Rc::new(file), Rc::new(block)))
        }
    };
    tell(listener.local_addr().map_err(refused)?)?;
    for number in 0.. {
        let stream = listener.accept().await.map_err(refused)?;
        stream.set_nodelay(true).map_err(refused)?;
        let append = match (&append, work.write_bytes()) {
            (Some((file, block)), Some(bytes)) => {
                Some(Append { file: Rc::clone(file), block: Rc::clone(block), region: Region::new(number, bytes)? })
            }
            _ => None,
        };
        let conversation = async move {
            // A client that has gone away is no failure.
            drop(converse(stream, work, append).await);
        };
        glommio::spawn_local(conversation).detach();
    }
    Ok(())
}

/// What is written for each request of a connection.
struct Append {
    file: Rc<DmaFile>,
    block: Rc<DmaBuffer>,
    region: Region,
}

async fn converse(mut stream: TcpStream, work: Work, append: Option<Append>) -> anyhow::Result<()> {
    let answer = message(work.message_bytes())?;
    let wanted = SIZE_FIELD_BYTES + work.message_bytes();
    let mut buffer = vec![0; wanted];
    loop {
        // One request is in flight, so nothing can come behind it.
        let mut filled = 0;
        while filled < wanted {
            let count = stream.read(&mut buffer[filled..]).await?;
            anyhow::ensure!(count > 0, "the client has gone away");
            filled += count;
        }
        match &append {
            None => stream.write_all(&buffer).await?,
            Some(Append { file, block, region }) => {
                let written = file.write_rc_at(Rc::clone(block), region.next_offset()).await;
                written.map_err(|error| anyhow!("{error}")).context("a write")?;
                stream.write_all(&answer).await?;
            }
        }
    }
}
