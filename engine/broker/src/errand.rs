//! What one shard does for another at once, whatever it is about: it tells what it has counted, or changes what it alone has.

use std::any::Any;
use std::fmt;

use crate::message::{Call, Reply};
use crate::shard::Shard;

/// Something to be done on another shard, whatever it is about, and its answer.
pub(crate) struct Errand(Box<Act>);

type Act = dyn FnOnce(&Shard) -> Found + Send;

/// What an [`Errand`] answers.
pub(crate) type Found = Box<dyn Any + Send>;

impl fmt::Debug for Errand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Errand")
    }
}

impl Errand {
    /// Does it.
    pub(crate) fn run(self, shard: &Shard) -> Found {
        (self.0)(shard)
    }
}

/// Does something on one shard, which may be this one.
pub(crate) async fn on_shard<R: Send + 'static>(
    shard: &Shard,
    to: usize,
    act: impl FnOnce(&Shard) -> R + Send + 'static,
) -> R {
    if shard.index() == to {
        return act(shard);
    }
    let errand = Errand(Box::new(move |shard: &Shard| Box::new(act(shard)) as Found));
    match shard.call(to, Call::Errand(errand)).await.reply().await {
        Reply::Errand(found) => *found.downcast().expect("an errand answers what it was sent for"),
        other => unreachable!("an errand is answered by what it found, not {other:?}"),
    }
}

/// Does something on shard 0, wherever this shard is.
pub(crate) async fn on_first_shard<R: Send + 'static>(
    shard: &Shard,
    act: impl FnOnce(&Shard) -> R + Send + 'static,
) -> R {
    on_shard(shard, 0, act).await
}
