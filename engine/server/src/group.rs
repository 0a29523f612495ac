//! `ringlog group`: list and describe groups, tell how far they are behind, reset their offsets, delete them.

mod assignment;
pub(crate) mod coordinator;
mod deletion;
mod description;
mod lag;
mod listing;
mod membership;
pub(crate) mod offsets;
mod reset;
mod unread;

use clap::Subcommand;
use ringlog_net::client::ClientConfig;

use crate::output::Form;
use crate::session::{self, ClusterArguments};

/// List and describe groups, tell how far they are behind, reset their offsets, delete them.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    cluster: ClusterArguments,
    /// The form of what is printed.
    #[arg(short, long, global = true, value_enum, default_value_t)]
    output: Form,
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    /// List groups.
    List(listing::Arguments),
    /// Tell state, members, assignment, offsets and lag.
    Describe {
        /// The groups.
        #[arg(required = true, value_name = "GROUP")]
        groups: Vec<String>,
    },
    /// Tell how far groups are behind, in records and in seconds.
    Lag(lag::Arguments),
    /// Move the committed offsets of a group without members. Without --execute it only shows what would be done.
    Reset(reset::Arguments),
    /// Delete groups without members, and their offsets.
    Delete {
        /// The groups.
        #[arg(required = true, value_name = "GROUP")]
        groups: Vec<String>,
    },
}

/// Performs the subcommand.
pub(crate) fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { cluster, output: form, command } = arguments;
    session::run(cluster, ClientConfig::default(), move |session| {
        let command = command.clone();
        async move {
            match command {
                Command::List(arguments) => listing::list(&session, form, &arguments).await,
                Command::Describe { groups } => description::describe(&session, form, &groups).await,
                Command::Lag(arguments) => lag::tell(&session, form, &arguments).await,
                Command::Reset(arguments) => reset::reset(&session, form, &arguments).await,
                Command::Delete { groups } => deletion::delete(&session, form, &groups).await,
            }
        }
    })
}
