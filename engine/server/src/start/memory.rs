//! How much memory each shard may use: a budget for buffers and caches, not what is taken at the start.

use std::fs;

use ringlog_broker::SHARD_MEMORY_BYTES_MIN;

use super::control_group::Allowance;

/// The part of what the machine or the container has that a broker takes for itself unless it is told otherwise: the rest
/// is for the kernel, and for what the budget does not count.
const SHARE_DIVISOR: u64 = 2;

/// Memory of the machine, or of the container if that allows less. 0 if nobody tells.
pub(super) fn available_bytes(allowance: &Allowance) -> u64 {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| parse_total(&text));
    machine.into_iter().chain(allowance.memory_bytes).min().unwrap_or(0)
}

/// `MemTotal` of `/proc/meminfo`.
fn parse_total(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// What one of `shards` may use. Without a configured size it follows what is available, and is never less than a shard
/// works with.
pub(super) fn shard_bytes(configured: Option<i64>, available: u64, shards: usize) -> Result<usize, String> {
    let Some(configured) = configured else {
        let share = usize::try_from(available / SHARE_DIVISOR).unwrap_or(usize::MAX) / shards;
        return Ok(share.max(SHARD_MEMORY_BYTES_MIN));
    };
    let configured = usize::try_from(configured).unwrap_or(usize::MAX);
    let least = shards * SHARD_MEMORY_BYTES_MIN;
    if configured < least {
        return Err(format!(
            "ringlog.memory={configured}: {shards} shards need {least} bytes at least; give more, or fewer cores"
        ));
    }
    Ok(configured / shards)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    #[test]
    fn memory_is_shared_by_the_shards() {
        assert_eq!(shard_bytes(None, 8 << 30, 4), Ok(1 << 30));
        assert_eq!(shard_bytes(None, 0, 4), Ok(SHARD_MEMORY_BYTES_MIN));
        assert_eq!(shard_bytes(Some(256 << 20), 0, 4), Ok(64 * MIB));
        let error = shard_bytes(Some(64 << 20), 8 << 30, 4).expect_err("too little");
        assert!(error.contains("4 shards need 134217728"), "{error}");
    }

    #[test]
    fn the_machine_s_memory_is_found() {
        assert_eq!(parse_total("MemTotal:       16384 kB\nMemFree: 1 kB\n"), Some(16 << 20));
        assert_eq!(parse_total("MemFree: 1 kB\n"), None);
        assert_eq!(parse_total("MemTotal: many kB\n"), None);
    }
}
