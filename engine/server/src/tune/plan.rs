//! `ringlog tune plan`: what `ringlog start` with the same settings would take.

use ringlog_tuning::{Plan, PlanLine, Shard};
use serde::Serialize;

use super::PlaceArguments;
use crate::output::{self, Form, table};
use crate::start::settings::wishes;

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    place: PlaceArguments,
    /// The form of what is printed.
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,
}

/// A plan for programs.
#[derive(Debug, Serialize)]
struct Planned {
    shards: Vec<Shard>,
    shard_memory_bytes: u64,
    journal_bytes: u64,
    ring_entries: u32,
    receive_buffers: u16,
    receive_buffer_bytes: u32,
    mesh_messages: usize,
    sockets: usize,
    open_files: usize,
    lines: Vec<PlanLine>,
}

impl From<Plan> for Planned {
    fn from(plan: Plan) -> Self {
        Self {
            shards: plan.shards,
            shard_memory_bytes: plan.shard_memory_bytes,
            journal_bytes: plan.journal_bytes,
            ring_entries: plan.limits.ring_entries,
            receive_buffers: plan.limits.receive_buffers,
            receive_buffer_bytes: plan.limits.receive_buffer_bytes,
            mesh_messages: plan.limits.mesh_messages,
            sockets: plan.limits.sockets,
            open_files: plan.open_files_max,
            lines: plan.lines,
        }
    }
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let (machine, broker) = arguments.place.read()?;
    let plan = ringlog_tuning::plan(&machine.resources, &wishes(&broker))?;
    output::print(arguments.output, &Planned::from(plan), |planned| {
        let row = |line: &PlanLine| [line.what.to_owned(), line.value.clone(), line.because.clone()];
        table(["WHAT", "PLAN", "BECAUSE"], &planned.lines.iter().map(row).collect::<Vec<_>>())
    })
}
