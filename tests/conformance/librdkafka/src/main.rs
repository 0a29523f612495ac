//! librdkafka, by the `rdkafka` crate, against a broker: what is read back is what was sent, to the byte.
//!
//!     ringlog-librdkafka BOOTSTRAP PREFIX
//!
//! Prints `ok NAME` or `FAIL NAME: why` for every case; the exit code is 1 if one failed. Consumers have partitions
//! assigned, except where a case is about groups.
#![forbid(unsafe_code)]

mod cases;
mod clients;
mod records;

use std::process::ExitCode;

use clients::Session;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (Some(bootstrap), Some(prefix)) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: ringlog-librdkafka BOOTSTRAP PREFIX");
        return ExitCode::from(2);
    };
    let session = Session::new(bootstrap, prefix);
    let mut failures = 0;
    for (name, case) in cases::all() {
        match case(&session) {
            Ok(()) => println!("ok {name}"),
            Err(why) => {
                failures += 1;
                println!("FAIL {name}: {why}");
            }
        }
    }
    ExitCode::from(u8::from(failures > 0))
}
