//! What went over the loopback: captured by dumpcap, taken apart by tshark.
//!
//! A packet that was not captured would make every count wrong, so a drop fails the test.

use std::io::Read;
use std::process::{Child, ChildStderr, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::privileged;

/// The kernel hands packets over in blocks, a full one or after a part of a second.
const SETTLE: Duration = Duration::from_secs(1);

/// A capture under way.
#[derive(Debug)]
pub(crate) struct Capture {
    port: u16,
    dir: TempDir,
    child: Child,
    said: ChildStderr,
    report: String,
}

impl Capture {
    /// Captures every whole packet to and from `port`, from when this returns.
    #[track_caller]
    pub(crate) fn start(port: u16) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut command = privileged("dumpcap");
        command.args(["-i", "lo", "-B", "256", "-f", &format!("tcp port {port}")]);
        command.arg("-w").arg(dir.path().join("run.pcapng"));
        command.stdin(Stdio::null()).stderr(Stdio::piped());
        let child = command.spawn();
        let mut child = child.expect("dumpcap is needed for this test");
        let mut said = child.stderr.take().expect("piped");
        let mut report = String::new();
        let mut byte = [0_u8];
        // It names the file when it has begun.
        while !report.contains("File: ") {
            assert_eq!(said.read(&mut byte).expect("a pipe"), 1, "{report}");
            report.push(char::from(byte[0]));
        }
        Self {
            port,
            dir,
            child,
            said,
            report,
        }
    }

    /// Ends it. None may be missing, and there must be more than `packets`.
    #[track_caller]
    pub(crate) fn stop(mut self, packets: u64) -> Captured {
        // What the kernel has not handed over yet is lost when dumpcap ends, and no drop.
        std::thread::sleep(SETTLE);
        let pid = self.child.id().to_string();
        let stopped = privileged("kill").args(["-INT", &pid]).status();
        assert!(stopped.expect("kill runs").success());
        let report = &mut self.report;
        self.said.read_to_string(report).expect("its report");
        assert!(self.child.wait().expect("its end").success(), "{report}");
        let (received, dropped) = received_and_dropped(report);
        assert_eq!(dropped, 0, "{report}");
        assert!(received > packets, "{report}");
        Captured {
            port: self.port,
            dir: self.dir,
        }
    }
}

/// A capture that is over.
#[derive(Debug)]
pub(crate) struct Captured {
    /// The server's port.
    pub(crate) port: u16,
    dir: TempDir,
}

impl Captured {
    /// The fields of every packet, the port spoken as `protocol`; a field that is there several
    /// times has commas.
    #[track_caller]
    pub(crate) fn dissect<const N: usize>(
        &self,
        protocol: &str,
        fields: [&str; N],
    ) -> Vec<[String; N]> {
        let mut command = privileged("tshark");
        command
            .arg("-n")
            .arg("-r")
            .arg(self.dir.path().join("run.pcapng"));
        command.args(["-d", &format!("tcp.port=={},{protocol}", self.port)]);
        command.args(["-T", "fields", "-E", "occurrence=a"]);
        for field in fields {
            command.args(["-e", field]);
        }
        let output = command.output().expect("tshark is needed for this test");
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).expect("text");
        let row = |line: &str| -> [String; N] {
            let found: Vec<String> = line.split('\t').map(str::to_owned).collect();
            found.try_into().unwrap_or_else(|_| panic!("{line:?}"))
        };
        text.lines().map(row).collect()
    }
}

/// How often a field is there.
pub(crate) fn many(field: &str) -> u64 {
    field.split(',').filter(|part| !part.is_empty()).count() as u64
}

/// `Packets received/dropped on interface 'lo': 200000/0 (…)`: the two numbers.
#[track_caller]
fn received_and_dropped(report: &str) -> (u64, u64) {
    let line = report
        .lines()
        .find(|l| l.starts_with("Packets received/dropped"));
    let line = line.unwrap_or_else(|| panic!("no count of packets in {report:?}"));
    let (_, numbers) = line.rsplit_once("': ").expect("a colon");
    let pair = numbers
        .split(' ')
        .next()
        .and_then(|pair| pair.split_once('/'));
    let (received, dropped) = pair.expect("two numbers");
    (
        received.parse().expect("a number"),
        dropped.parse().expect("a number"),
    )
}

/// The parser of dumpcap's report.
#[test]
fn drops_are_read() {
    let report = "Packets captured: 5\nPackets received/dropped on interface 'Loopback: lo': \
                  1200/34 (pcap:34/dumpcap:0/flushed:0/ps_ifdrop:0) (97.2%)\n";
    assert_eq!(received_and_dropped(report), (1200, 34));
}
