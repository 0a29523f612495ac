//! A Prometheus of a test's own: a child on a free port of the loopback interface, with a data directory of its own.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use ringlog_kit::external::in_ci;
use ringlog_kit::folder::Folder;
use serde_json::Value;

/// How long a start may take, and an answer.
const PATIENCE: Duration = Duration::from_mins(1);

/// A running process, ended with SIGKILL when dropped.
pub(crate) struct Prometheus {
    child: Child,
    address: SocketAddr,
    _folder: Folder,
}

impl Prometheus {
    /// Has it scrape a broker once a second under the name of `ringlog`, with these files of rules. Where Prometheus is not
    /// installed, nothing, and a failure in CI.
    pub(crate) fn start(target: SocketAddr, rules: &[(&str, &str)]) -> Option<Self> {
        let folder = Folder::new("prometheus");
        let mut files = String::new();
        for (name, text) in rules {
            write(folder.path(), name, text);
            _ = write!(files, "{}{name}", if files.is_empty() { "" } else { ", " });
        }
        let config = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [{files}]\n\
             scrape_configs:\n  - {{job_name: ringlog, static_configs: [{{targets: [\"{target}\"]}}]}}\n"
        );
        write(folder.path(), "prometheus.yml", &config);
        let mut command = Command::new("prometheus");
        command
            .arg(format!("--config.file={}", folder.path().join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .args(["--web.listen-address=127.0.0.1:0", "--log.format=json"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                println!("skipped: prometheus: {error}");
                assert!(!in_ci(), "skipped in CI: prometheus: {error}");
                return None;
            }
            Err(error) => panic!("prometheus: {error}"),
        };
        let log = child.stderr.take().expect("piped");
        let (said, hears) = mpsc::channel();
        // Reads to the end, so that Prometheus never waits for its reader.
        std::thread::spawn(move || {
            let mut lines = Vec::new();
            for line in BufReader::new(log).lines().map_while(Result::ok) {
                let told: Value = serde_json::from_str(&line).unwrap_or_default();
                let address = told["address"].as_str().filter(|_| told["msg"] == "Listening on");
                if let Some(address) = address.and_then(|address| address.parse::<SocketAddr>().ok()) {
                    _ = said.send(Ok(address));
                }
                lines.push(line);
            }
            _ = said.send(Err(lines.join("\n")));
        });
        let address = match hears.recv_timeout(PATIENCE) {
            Ok(Ok(address)) => address,
            other => panic!("prometheus does not listen: {other:?}"),
        };
        Some(Self { child, address, _folder: folder })
    }

    /// The values of all series that an expression gives now, but for those that are no number.
    pub(crate) fn query(&self, expr: &str) -> Vec<f64> {
        let answer = self.get(&format!("/api/v1/query?query={}", encoded(expr)));
        assert_eq!(answer["status"], "success", "{expr}: {answer}");
        let result = &answer["data"]["result"];
        let value = |sample: &Value| sample[1].as_str().and_then(|value| value.parse::<f64>().ok());
        let values: Vec<f64> = match answer["data"]["resultType"].as_str() {
            Some("vector") => {
                result.as_array().into_iter().flatten().filter_map(|series| value(&series["value"])).collect()
            }
            _ => value(result).into_iter().collect(),
        };
        values.into_iter().filter(|value| !value.is_nan()).collect()
    }

    /// Names of the alerts that fire now.
    pub(crate) fn firing(&self) -> BTreeSet<String> {
        let answer = self.get("/api/v1/alerts");
        let alerts = answer["data"]["alerts"].as_array().expect("a list of alerts");
        let firing = alerts.iter().filter(|alert| alert["state"] == "firing");
        firing.map(|alert| alert["labels"]["alertname"].as_str().expect("a name").to_owned()).collect()
    }

    /// This alert, unless it fires.
    pub(crate) fn not_firing(&self, alert: &'static str) -> Vec<&'static str> {
        if self.firing().contains(alert) { Vec::new() } else { vec![alert] }
    }

    /// This alert, if it fires.
    pub(crate) fn still_firing(&self, alert: &'static str) -> Vec<&'static str> {
        if self.firing().contains(alert) { vec![alert] } else { Vec::new() }
    }

    /// The names of all rules, and what went wrong with some of them.
    pub(crate) fn rules(&self) -> (BTreeSet<String>, Vec<String>) {
        let answer = self.get("/api/v1/rules");
        let groups = answer["data"]["groups"].as_array().expect("a list of groups");
        let rules: Vec<&Value> = groups.iter().flat_map(|group| group["rules"].as_array().expect("rules")).collect();
        let names = rules.iter().map(|rule| rule["name"].as_str().expect("a name").to_owned());
        let faults = rules.iter().filter(|rule| rule["health"] == "err");
        (names.collect(), faults.map(|rule| format!("{}: {}", rule["name"], rule["lastError"])).collect())
    }

    fn get(&self, path: &str) -> Value {
        let mut socket = TcpStream::connect(self.address).expect("it listens");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout that is not zero");
        // In this version an answer comes in one piece and ends with the connection.
        write!(socket, "GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n", self.address).expect("it reads");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).expect("text");
        let (_, body) = answer.split_once("\r\n\r\n").expect("a head");
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{path}: {error}: {answer}"))
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

/// As a part of a URL.
fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() {
            encoded.push(char::from(byte));
        } else {
            _ = write!(encoded, "%{byte:02X}");
        }
        encoded
    })
}
