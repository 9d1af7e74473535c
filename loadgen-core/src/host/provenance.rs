//! Facts about the kernel and the machine that a reader of the document may need.
//!
//! All of it is best effort: what cannot be read is `null`. Nothing here may fail, and nothing may
//! take long.

use std::path::Path;

use serde_json::{Value, json};

use super::cgroup;

/// The machine's name; `None` when it has none.
#[must_use]
pub fn name() -> Option<String> {
    let uname = rustix::system::uname();
    let name = uname.nodename().to_string_lossy().into_owned();
    (!name.is_empty()).then_some(name)
}

/// An object of facts; the keys are always there.
#[must_use]
pub fn provenance() -> Value {
    let uname = rustix::system::uname();
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let place = cgroup::own_places().into_iter().next();
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    json!({
        "kernel_name": uname.sysname().to_string_lossy(),
        "kernel_release": uname.release().to_string_lossy(),
        "kernel_version": uname.version().to_string_lossy(),
        "machine": uname.machine().to_string_lossy(),
        "cpu_model": cpu_model(&cpuinfo),
        "logical_cpus": logical_cpus(),
        "hypervisor": has_flag(&cpuinfo, "hypervisor"),
        "memory_bytes": memory_bytes(&meminfo),
        "cpu_governor": line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "clocksource": line("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
        "congestion_control": line("/proc/sys/net/ipv4/tcp_congestion_control"),
        "tcp_rmem": line("/proc/sys/net/ipv4/tcp_rmem"),
        "tcp_wmem": line("/proc/sys/net/ipv4/tcp_wmem"),
        "local_port_range": line("/proc/sys/net/ipv4/ip_local_port_range"),
        "network_namespace": link("/proc/self/ns/net"),
        "cgroup_version": place.as_ref().map(|p| p.version),
        "cgroup_path": line_of("/proc/self/cgroup", membership),
        "open_files_limit": files.current,
    })
}

/// The first line of a file, white space made single.
fn line(path: &str) -> Option<String> {
    line_of(path, |text| {
        let first = text.lines().next()?;
        let words: Vec<&str> = first.split_whitespace().collect();
        (!words.is_empty()).then(|| words.join(" "))
    })
}

fn line_of(path: &str, pick: impl Fn(&str) -> Option<String>) -> Option<String> {
    std::fs::read_to_string(path)
        .ok()
        .and_then(|text| pick(&text))
}

fn link(path: &str) -> Option<String> {
    let target = std::fs::read_link(Path::new(path)).ok()?;
    Some(target.to_string_lossy().into_owned())
}

/// The path of the cgroup that has the `cpu` controller: version 1 where it has it there, as the
/// quota is looked for in both.
fn membership(text: &str) -> Option<String> {
    let path = |wanted: &dyn Fn(&str) -> bool| {
        text.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let (controllers, path) = (fields.next()?, fields.next()?);
            wanted(controllers).then(|| path.to_owned())
        })
    };
    path(&|c| c.split(',').any(|one| one == "cpu")).or_else(|| path(&str::is_empty))
}

/// x86 says `model name`; Arm has no such line, and some boards say `Model`.
fn cpu_model(cpuinfo: &str) -> Option<String> {
    ["model name", "Model", "cpu model", "cpu"]
        .iter()
        .find_map(|key| value(cpuinfo, key))
}

fn value(text: &str, key: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == key && !value.trim().is_empty()).then(|| value.trim().to_owned())
    })
}

fn has_flag(cpuinfo: &str, flag: &str) -> Option<bool> {
    let flags = value(cpuinfo, "flags")?;
    Some(flags.split_whitespace().any(|one| one == flag))
}

fn memory_bytes(meminfo: &str) -> Option<u64> {
    let total = value(meminfo, "MemTotal")?;
    let kib: u64 = total.strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

fn logical_cpus() -> Option<usize> {
    let online = line("/sys/devices/system/cpu/online")?;
    super::cpus::parse_list(&online).ok().map(|list| list.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_found_in_their_files() {
        let cpuinfo = "processor\t: 0\nmodel name\t: A CPU @ 3 GHz\nflags\t\t: fpu hypervisor\n";
        assert_eq!(cpu_model(cpuinfo).as_deref(), Some("A CPU @ 3 GHz"));
        assert_eq!(has_flag(cpuinfo, "hypervisor"), Some(true));
        assert_eq!(has_flag(cpuinfo, "hyper"), Some(false));
        assert_eq!(has_flag("processor : 0\n", "x"), None);
        assert_eq!(memory_bytes("MemTotal:   2048 kB\n"), Some(2 << 20));
        assert_eq!(memory_bytes("MemTotal:   many\n"), None);
    }

    #[test]
    fn the_cgroup_with_the_cpu_controller() {
        let mixed = "9:name=systemd:/s\n1:cpu,cpuacct:/a:b\n0::/c\n";
        assert_eq!(membership(mixed).as_deref(), Some("/a:b"));
        assert_eq!(membership("0::/c\n").as_deref(), Some("/c"));
        assert_eq!(membership(""), None);
    }

    #[test]
    fn this_machine_has_a_kernel() {
        let facts = provenance();
        assert!(facts["kernel_release"].is_string());
        assert!(facts["logical_cpus"].as_u64().unwrap() >= 1);
        assert!(name().is_some());
    }
}
