//! The `ringlog` binary: boot, configuration, command line. One file per subcommand.
#![forbid(unsafe_code)]

mod cluster;
mod config;
mod consume;
mod cores;
mod diagnostics;
mod group;
mod log;
mod offsets;
mod output;
mod perf;
mod printable;
mod produce;
mod resource;
mod session;
mod start;
mod topic;
mod tune;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A streaming platform that speaks Apache Kafka's protocol.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true)]
struct Arguments {
    #[command(flatten)]
    log: diagnostics::LogArguments,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Tell what the cluster consists of.
    Cluster(cluster::Arguments),
    /// Explain a properties file; tell and change settings of topics, brokers and groups.
    Config(config::Arguments),
    /// Read records from a topic.
    Consume(consume::Arguments),
    /// Tell and change how many of a broker's cores own partitions and take connections.
    Cores(cores::Arguments),
    /// List and describe groups, tell how far they are behind, reset their offsets, delete them.
    Group(group::Arguments),
    /// Tell which requests were slow, who uses the broker most, and where the time of requests goes.
    Perf(perf::Arguments),
    /// Write lines as records to a topic.
    Produce(produce::Arguments),
    /// Run a broker; without arguments a single node on 127.0.0.1:9092, on all cores, with its data in ./ringlog-data.
    Start(start::Arguments),
    /// Create, list, describe, delete and alter topics.
    Topic(topic::Arguments),
    /// Look at the machine, plan with it, and set it up.
    Tune(tune::Arguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let logging = diagnostics::install(&arguments.log);
    let result = match arguments.command {
        Command::Cluster(arguments) => cluster::run(arguments),
        Command::Config(arguments) => config::run(arguments),
        Command::Consume(arguments) => consume::run(arguments),
        Command::Cores(arguments) => cores::run(arguments),
        Command::Group(arguments) => group::run(arguments),
        Command::Perf(arguments) => perf::run(&arguments),
        Command::Produce(arguments) => produce::run(arguments),
        Command::Start(arguments) => start::run(arguments, logging),
        Command::Topic(arguments) => topic::run(arguments),
        Command::Tune(arguments) => tune::run(&arguments),
    };
    match result {
        Ok(()) => {
            log::flush();
            ExitCode::SUCCESS
        }
        Err(error) => {
            diagnostics::say_failure(&error);
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_arguments_fit_together() {
        Arguments::command().debug_assert();
    }
}
