//! Apache Kafka as a process to be measured: one node, which is its own controller, on a data folder that is made for
//! it. The jars are those that `tests/kafka/fetch` brings; options of the JVM are those of Kafka's own start script.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail, ensure};

use crate::interrupt::{Leftovers, Process};
use crate::load::Server;

/// Below the range from which the kernel takes ports for clients, so that none is taken between choosing and using it.
const PORTS: std::ops::Range<u16> = 31_000..32_000;
/// Any 16 bytes in base64 are the name of a cluster.
const CLUSTER_ID: &str = "UmluZ2xvZ0JlbmNoMDAwMQ";
const JVM: &[&str] = &[
    "-Xms1g",
    "-Xmx1g",
    "-server",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
    "-Djava.awt.headless=true",
];
const LOG: &str = "\
Configuration:
  Appenders: {Console: {name: out, PatternLayout: {pattern: \"%d %p %m (%c)%n\"}}}
  Loggers: {Root: {level: WARN, AppenderRef: [{ref: out}]}}
";

/// The jars of a broker.
#[derive(Clone, Debug)]
pub(crate) struct Kafka {
    jars: PathBuf,
    version: String,
}

impl Kafka {
    /// Finds the broker in the folder that `fetch` has filled.
    pub(crate) fn find(folder: &Path) -> anyhow::Result<Self> {
        let jars = folder.join("broker");
        let names = fs::read_dir(&jars).into_iter().flatten().flatten().map(|entry| entry.file_name());
        let version = names
            .filter_map(|name| Some(name.to_str()?.strip_prefix("kafka-clients-")?.strip_suffix(".jar")?.to_owned()));
        let Some(version) = version.last() else {
            bail!(
                "{} has no broker of Apache Kafka (broker/kafka-clients-*.jar); tests/kafka/fetch brings one into .kafka",
                folder.display()
            );
        };
        Ok(Self { jars, version })
    }

    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// Starts a broker on one core, with its data in `folder`, which must not be there yet.
    pub(crate) fn start(
        &self,
        folder: &Path,
        core: usize,
        settings: &[(String, String)],
    ) -> anyhow::Result<KafkaBroker> {
        let leftovers = Leftovers::folder(folder).with_context(|| folder.display().to_string())?;
        let [port, controller] = free_ports()?;
        let properties = folder.join("server.properties");
        let more = settings.iter().map(|(key, value)| format!("{key}={value}\n"));
        let text = server_properties(folder, port, controller) + &more.collect::<String>();
        fs::write(&properties, text).context("server.properties")?;
        fs::write(folder.join("log4j2.yaml"), LOG).context("log4j2.yaml")?;
        let mut format = self.java(folder, &[]);
        format
            .args(["kafka.tools.StorageTool", "format", "--standalone", "--cluster-id", CLUSTER_ID, "--config"])
            .arg(&properties);
        let formatted =
            Process::output(&mut format).context("java cannot be run: Apache Kafka wants a JDK (17) on the PATH")?;
        let said = String::from_utf8_lossy(&formatted.stderr);
        ensure!(formatted.status.success(), "Kafka's storage tool ended with {}: {said}", formatted.status);
        // Beside the data, and kept until the next one starts, for whoever looks for the cause of a failure.
        let log_path = folder.with_extension("log");
        let log = fs::File::create(&log_path).with_context(|| log_path.display().to_string())?;
        let mut command = self.java(folder, JVM);
        command.arg("kafka.Kafka").arg(&properties);
        command.stdin(Stdio::null()).stdout(log.try_clone().context("the log")?).stderr(log);
        let process = spawn_on(core, &mut command).context("java")?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let data = folder.join("data");
        let server = Server { address, process: Some(process.0.id()), data: Some(data) };
        Ok(KafkaBroker { process, server, log: log_path, _leftovers: leftovers })
    }

    fn java(&self, folder: &Path, options: &[&str]) -> Command {
        let mut command = Command::new("java");
        command.args(options);
        command.arg(format!("-Dlog4j2.configurationFile={}", folder.join("log4j2.yaml").display()));
        command.arg("-cp").arg(self.jars.join("*"));
        command
    }
}

/// A running broker, killed and its data removed when dropped: its data is of no use to anybody, so nothing is lost by it.
#[derive(Debug)]
pub(crate) struct KafkaBroker {
    process: Process,
    pub(crate) server: Server,
    log: PathBuf,
    /// Goes behind the process that writes it: fields are dropped in their order.
    _leftovers: Leftovers,
}

impl KafkaBroker {
    /// An error if it has ended by itself.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        match self.process.0.try_wait().context("the process is ours")? {
            None => Ok(()),
            Some(status) => bail!("Apache Kafka ended with {status}; see {}", self.log.display()),
        }
    }
}

/// Starts a program that may run on one core alone: a process inherits this from the thread that starts it.
pub(crate) fn spawn_on(core: usize, command: &mut Command) -> std::io::Result<Process> {
    std::thread::scope(|scope| {
        let starting = scope.spawn(|| {
            if !core_affinity::set_for_current(core_affinity::CoreId { id: core }) {
                return Err(std::io::Error::other(format!("core {core} cannot be used; --broker-core names another")));
            }
            Process::start(command)
        });
        starting.join().expect("it does not panic")
    })
}

fn server_properties(folder: &Path, port: u16, controller: u16) -> String {
    let data = folder.join("data");
    let settings = [
        ("process.roles", "broker,controller".to_owned()),
        ("node.id", "1".to_owned()),
        ("listeners", format!("PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}")),
        ("controller.listener.names", "CONTROLLER".to_owned()),
        ("controller.quorum.bootstrap.servers", format!("127.0.0.1:{controller}")),
        ("listener.security.protocol.map", "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT".to_owned()),
        ("inter.broker.listener.name", "PLAINTEXT".to_owned()),
        ("log.dirs", data.display().to_string()),
        ("offsets.topic.replication.factor", "1".to_owned()),
        ("transaction.state.log.replication.factor", "1".to_owned()),
        ("transaction.state.log.min.isr", "1".to_owned()),
        ("share.coordinator.state.topic.replication.factor", "1".to_owned()),
        ("share.coordinator.state.topic.min.isr", "1".to_owned()),
    ];
    settings.map(|(key, value)| format!("{key}={value}\n")).concat()
}

/// Two ports that nobody listens on.
fn free_ports() -> anyhow::Result<[u16; 2]> {
    // Others may choose at the same time, and Kafka takes a second to use what was chosen: each begins somewhere else.
    let begin = usize::try_from(std::process::id()).unwrap_or(0) * 2 % PORTS.len();
    let ports = PORTS.cycle().skip(begin).take(PORTS.len());
    let mut free = ports.filter(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok());
    let ports = free.next().zip(free.next());
    let (one, other) = ports.with_context(|| format!("no two of the ports {PORTS:?} are free"))?;
    Ok([one, other])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_without_kafka_is_refused_with_a_remedy() {
        let error = Kafka::find(Path::new("nowhere")).expect_err("there is nothing").to_string();
        assert!(error.contains("nowhere") && error.contains("tests/kafka/fetch"), "{error}");
    }

    #[test]
    fn the_broker_and_its_controller_have_ports_of_their_own() {
        let [one, other] = free_ports().expect("two of a thousand are free");
        assert!(one != other && PORTS.contains(&one) && PORTS.contains(&other));
        let text = server_properties(Path::new("folder"), one, other);
        assert!(text.contains("log.dirs=folder/data\n") && text.contains(&format!("127.0.0.1:{one},")), "{text}");
    }
}
