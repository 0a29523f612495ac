//! Where the records come from: a broker's `/perf/requests`, answer by answer.

use std::fmt;
use std::io;
use std::time::Duration;

use ringlog_net::client::Address;
use ureq::Agent;

use super::digest::record::Answer;
use crate::output::shown;

/// The most that is read of one answer.
const ANSWER_BYTES_MAX: u64 = 16 << 20;
/// Records that one answer is asked for: the most that a broker gives.
const RECORDS_MAX: usize = 4096;
/// Answers that are read one after the other, so that a broker that is never done cannot hold a view up.
const ANSWERS_MAX: usize = 256;
const CONNECT_TIME_MAX: Duration = Duration::from_secs(3);
/// From the question to the last byte of the answer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(15);
/// A cursor comes back in an address, whose length is limited as well.
const CURSOR_BYTES_MAX: usize = 8192;
/// How much of a refusal is told.
const REFUSAL_CHARS_MAX: usize = 200;

/// Which records are asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wanted {
    Slow,
    All,
}

/// The records of one broker, from the oldest that it has on.
#[derive(Debug)]
pub(super) struct Source {
    agent: Agent,
    address: Address,
    wanted: Wanted,
    /// Where the next answer begins.
    cursor: Option<String>,
}

/// Why there are no records.
#[derive(PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum SourceError {
    #[error(
        "{0} cannot be reached over HTTP ({1}): start a broker, or name its ringlog.admin.listener with --admin HOST:PORT"
    )]
    Unreachable(String, String),
    #[error("{0} keeps no records of requests: a Ringlog broker that is as new as this program does")]
    TooOld(String),
    #[error("{0} answers with HTTP status {1}: {2}")]
    Refused(String, u16, String),
    #[error("{0} answers with more than {1} bytes: is it a Ringlog broker?")]
    TooLong(String, u64),
    #[error("{0} does not tell what this program reads ({1}): is it a Ringlog broker of the same version?")]
    NotUnderstood(String, String),
}

impl Source {
    pub(super) fn new(address: Address, wanted: Wanted) -> Self {
        let config = Agent::config_builder()
            // The broker is asked itself, whatever the environment says of proxies.
            .proxy(None)
            .max_redirects(0)
            .http_status_as_error(false)
            .max_idle_connections(0)
            .timeout_connect(Some(CONNECT_TIME_MAX))
            .timeout_global(Some(ANSWER_TIME_MAX))
            .build();
        Self { agent: config.new_agent(), address, wanted, cursor: None }
    }

    /// Reads all records that are there and were not read yet. It blocks.
    pub(super) fn read(&mut self, mut take: impl FnMut(Answer)) -> Result<(), SourceError> {
        for _ in 0..ANSWERS_MAX {
            let answer = self.ask()?;
            let is_last = answer.requests.len() < RECORDS_MAX;
            take(answer);
            if is_last {
                break;
            }
        }
        Ok(())
    }

    fn ask(&mut self) -> Result<Answer, SourceError> {
        let kind = match self.wanted {
            Wanted::Slow => "slow",
            Wanted::All => "all",
        };
        let mut path = format!("http://{}/perf/requests?kind={kind}&limit={RECORDS_MAX}", self.address);
        if let Some(cursor) = &self.cursor {
            path.push_str("&after=");
            path.push_str(cursor);
        }
        let mut response = self.agent.get(&path).call().map_err(|error| self.failed(error))?;
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
        let body = body.map_err(|error| self.failed(error))?;
        match status {
            200 => {}
            404 => return Err(SourceError::TooOld(self.whom())),
            status => {
                let said = shown(String::from_utf8_lossy(&body).trim(), REFUSAL_CHARS_MAX);
                return Err(SourceError::Refused(self.whom(), status, said));
            }
        }
        let answer: Answer = serde_json::from_slice(&body).map_err(|error| self.not_understood(&error))?;
        if !is_cursor(&answer.next) {
            return Err(self.not_understood(&"`next` is nothing that can be sent back"));
        }
        self.cursor = Some(answer.next.clone());
        Ok(answer)
    }

    fn failed(&self, error: ureq::Error) -> SourceError {
        match error {
            ureq::Error::BodyExceedsLimit(limit) => SourceError::TooLong(self.whom(), limit),
            ureq::Error::Io(error) if is_malformed(&error) => self.not_understood(&error),
            error @ (ureq::Error::Http(_) | ureq::Error::Protocol(_)) => self.not_understood(&error),
            ureq::Error::Timeout(_) => SourceError::Unreachable(self.whom(), "no answer in time".to_owned()),
            ureq::Error::Io(error) => SourceError::Unreachable(self.whom(), error.to_string()),
            error => SourceError::Unreachable(self.whom(), error.to_string()),
        }
    }

    fn not_understood(&self, why: &dyn fmt::Display) -> SourceError {
        SourceError::NotUnderstood(self.whom(), shown(&why.to_string(), REFUSAL_CHARS_MAX))
    }

    fn whom(&self) -> String {
        self.address.to_string()
    }
}

fn is_malformed(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData)
}

/// Whether it can stand in an address as it is.
fn is_cursor(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".,:;_-~".contains(&byte);
    (1..=CURSOR_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::net::TcpListener;
    use std::thread;

    use super::*;
    use crate::perf::digest::example::ANSWER;

    /// A server that gives these answers to one connection each; what it was asked for comes out at the end.
    fn serve(answers: Vec<String>) -> (Address, thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let server = thread::spawn(move || {
            let one = |answer: String| {
                let (mut socket, _) = listener.accept().expect("a client comes");
                let mut lines = BufReader::new(socket.try_clone().expect("a socket")).lines();
                let asked = lines.next().expect("a request").expect("text");
                while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
                // A client that has read enough goes away.
                let _ = socket.write_all(answer.as_bytes());
                asked
            };
            answers.into_iter().map(one).collect()
        });
        (Address { host: "127.0.0.1".to_owned(), port }, server)
    }

    fn http(status: &str, body: &str) -> String {
        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
    }

    fn error(answer: String) -> SourceError {
        let (address, server) = serve(vec![answer]);
        let error = Source::new(address.clone(), Wanted::All).read(drop).expect_err("it is no answer");
        server.join().expect("it has served");
        assert!(error.to_string().starts_with(&address.to_string()), "{error}");
        error
    }

    #[test]
    fn the_cursor_goes_back() {
        let (address, server) = serve(vec![http("200 OK", ANSWER), http("200 OK", ANSWER)]);
        let mut source = Source::new(address, Wanted::Slow);
        let mut records = 0;
        for _ in 0..2 {
            source.read(|answer| records += answer.requests.len()).expect("an answer");
        }
        assert_eq!(records, 4);
        let asked = server.join().expect("it has served");
        assert_eq!(asked[0], "GET /perf/requests?kind=slow&limit=4096 HTTP/1.1");
        assert_eq!(asked[1], "GET /perf/requests?kind=slow&limit=4096&after=3.1204,0.877 HTTP/1.1");
    }

    #[test]
    fn a_full_answer_is_followed_by_the_next() {
        let mut full: serde_json::Value = serde_json::from_str(ANSWER).expect("JSON");
        full["requests"] = vec![full["requests"][0].clone(); RECORDS_MAX].into();
        let (address, server) = serve(vec![http("200 OK", &full.to_string()), http("200 OK", ANSWER)]);
        let mut counts = Vec::new();
        Source::new(address, Wanted::All).read(|answer| counts.push(answer.requests.len())).expect("two answers");
        assert_eq!(counts, [RECORDS_MAX, 2]);
        server.join().expect("it has served");
    }

    #[test]
    fn what_is_wrong_is_said() {
        let told = |answer| error(answer).to_string();
        assert!(matches!(error(http("404 Not Found", "")), SourceError::TooOld(_)));
        let refused = told(http("503 Service Unavailable", "recovery\x1b[2J goes on\n"));
        assert!(refused.ends_with("503: recovery\u{fffd}[2J goes on"), "{refused}");
        assert!(told(http("200 OK", "{\"node\": 1}")).contains("missing field"), "of an old or another program");
        assert!(told(http("200 OK", "<html>")).contains("expected value at line 1"));
        let evil = ANSWER.replace("3.1204,0.877", "0 HTTP/1.1");
        assert!(told(http("200 OK", &evil)).contains("nothing that can be sent back"));
        assert!(matches!(error("220 mail.example ESMTP\r\n\r\n".to_owned()), SourceError::NotUnderstood(..)));
        let moved = "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n".to_owned();
        assert!(matches!(error(moved), SourceError::Refused(_, 302, _)));
    }

    #[test]
    fn an_answer_without_end_is_not_read() {
        let limit = usize::try_from(ANSWER_BYTES_MAX).expect("it fits");
        let endless = format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{}", " ".repeat(limit + 1));
        assert!(matches!(error(endless), SourceError::TooLong(_, ANSWER_BYTES_MAX)));
    }

    #[test]
    fn nobody_listens() {
        let free = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let port = free.local_addr().expect("it is bound").port();
        drop(free);
        let address = Address { host: "127.0.0.1".to_owned(), port };
        let error = Source::new(address, Wanted::All).read(drop).expect_err("nobody listens").to_string();
        assert!(error.contains("cannot be reached") && error.contains("--admin"), "{error}");
    }

    #[test]
    fn a_cursor_is_what_can_stand_in_an_address() {
        for good in ["0", "3.1204,0.877", "a_b-c~d:e;f"] {
            assert!(is_cursor(good), "{good}");
        }
        for bad in ["", "a b", "a&kind=slow", "a#", "a%20", "ä", "a\r\nb", &"a".repeat(CURSOR_BYTES_MAX + 1)] {
            assert!(!is_cursor(bad), "{bad}");
        }
    }
}
