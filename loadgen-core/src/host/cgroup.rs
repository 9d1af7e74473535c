//! The CPU quota of this process's own cgroup, in both versions.
//!
//! A quota can be set on any ancestor, so the smallest one up to the mount counts. In a container
//! the cgroup's path and the mount's root often do not fit together (`cgroup_namespaces(7)`);
//! then the mount itself is the cgroup. Parsing is pure; files come through a function.

use std::path::{Path, PathBuf};

/// Where this process's cgroup with the `cpu` controller is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The version: 1 or 2.
    pub version: u8,
    /// Its directory.
    pub directory: PathBuf,
    /// The highest directory that can be looked into.
    pub mount: PathBuf,
}

/// The limit in CPUs; `None` without one.
#[must_use]
pub fn quota() -> Option<f64> {
    let places = own_places();
    let read = |path: &Path| std::fs::read_to_string(path).ok();
    smallest_quota(&places, read)
}

/// Every place where a quota of this process can be written, version 2 first.
#[must_use]
pub fn own_places() -> Vec<Place> {
    let membership = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    places(&membership, &mounts)
}

/// Joins `/proc/self/cgroup` (`cgroups(7)`) with `/proc/self/mountinfo`
/// (`proc_pid_mountinfo(5)`).
#[must_use]
pub fn places(membership: &str, mounts: &str) -> Vec<Place> {
    let mut found = Vec::new();
    for line in membership.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) =
            (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let version = match controllers {
            "" => 2,
            list if list.split(',').any(|c| c == "cpu") => 1,
            _ => continue,
        };
        let mount = mounts
            .lines()
            .filter_map(mount_of)
            .find(|m| m.version == version);
        if let Some(mount) = mount {
            found.push(Place {
                version,
                directory: directory(&mount, path),
                mount: mount.point,
            });
        }
    }
    found.sort_by_key(|place| std::cmp::Reverse(place.version));
    found
}

struct Mount {
    version: u8,
    root: String,
    point: PathBuf,
}

/// A line of mountinfo, when it is a cgroup mount that has the `cpu` controller.
fn mount_of(line: &str) -> Option<Mount> {
    // id parent major:minor root mount-point options [optional…] - type source super-options
    let (before, after) = line.split_once(" - ")?;
    let mut before = before.split(' ').skip(3);
    let (root, point) = (before.next()?, before.next()?);
    let mut after = after.split(' ');
    let (kind, options) = (after.next()?, after.nth(1).unwrap_or_default());
    let version = match kind {
        "cgroup2" => 2,
        "cgroup" if options.split(',').any(|o| o == "cpu") => 1,
        _ => return None,
    };
    Some(Mount {
        version,
        root: unescape(root),
        point: PathBuf::from(unescape(point)),
    })
}

fn directory(mount: &Mount, path: &str) -> PathBuf {
    let below = Path::new(path).strip_prefix(&mount.root);
    match below {
        Ok(below) if !path.contains("..") => mount.point.join(below),
        _ => mount.point.clone(),
    }
}

/// Space, tab, newline and backslash are written as `\ooo` in mountinfo.
fn unescape(text: &str) -> String {
    text.replace("\\040", " ")
        .replace("\\011", "\t")
        .replace("\\012", "\n")
        .replace("\\134", "\\")
}

fn smallest_quota(places: &[Place], read: impl Fn(&Path) -> Option<String>) -> Option<f64> {
    let mut smallest: Option<f64> = None;
    for place in places {
        for directory in place.directory.ancestors() {
            let limit = match place.version {
                2 => read(&directory.join("cpu.max")).and_then(|text| parse_v2(&text)),
                _ => {
                    let quota = read(&directory.join("cpu.cfs_quota_us"));
                    let period = read(&directory.join("cpu.cfs_period_us"));
                    quota.zip(period).and_then(|(q, p)| parse_v1(&q, &p))
                }
            };
            smallest = match (smallest, limit) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
            if directory == place.mount {
                break;
            }
        }
    }
    smallest
}

/// `cpu.max`: `max 100000` or `150000 100000`.
fn parse_v2(text: &str) -> Option<f64> {
    let mut fields = text.split_whitespace();
    let (quota, period) = (fields.next()?, fields.next()?);
    parse_v1(quota, period)
}

/// `cpu.cfs_quota_us` (-1: none) over `cpu.cfs_period_us`.
fn parse_v1(quota: &str, period: &str) -> Option<f64> {
    let quota: i64 = quota.trim().parse().ok()?;
    let period: i64 = period.trim().parse().ok()?;
    (quota > 0 && period > 0).then(|| quota as f64 / period as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files<'a>(list: &'a [(&'a str, &'a str)]) -> impl Fn(&Path) -> Option<String> + 'a {
        move |path| {
            let hit = list.iter().find(|(name, _)| Path::new(name) == path);
            hit.map(|(_, text)| (*text).to_owned())
        }
    }

    const V2_MOUNT: &str = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n";

    #[test]
    fn version_2_takes_the_smallest_of_the_ancestors() {
        let places = places("0::/kubepods/pod1/box\n", V2_MOUNT);
        assert_eq!(
            places[0].directory,
            Path::new("/sys/fs/cgroup/kubepods/pod1/box")
        );
        let read = files(&[
            ("/sys/fs/cgroup/kubepods/pod1/box/cpu.max", "max 100000\n"),
            ("/sys/fs/cgroup/kubepods/pod1/cpu.max", "150000 100000\n"),
            ("/sys/fs/cgroup/kubepods/cpu.max", "800000 100000\n"),
            ("/sys/fs/cpu.max", "1 100000\n"),
        ]);
        assert_eq!(smallest_quota(&places, read), Some(1.5));
    }

    #[test]
    fn version_1_with_both_controllers_on_one_mount() {
        let mounts = "33 31 0:30 /docker/abc /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct\n\
                      34 31 0:31 / /sys/fs/cgroup/cpuset ro - cgroup cgroup rw,cpuset\n";
        let membership = "11:cpuset:/docker/abc\n4:cpu,cpuacct:/docker/abc\n1:name=systemd:/\n";
        let places = places(membership, mounts);
        assert_eq!(places.len(), 1);
        assert_eq!(places[0].directory, Path::new("/sys/fs/cgroup/cpu,cpuacct"));
        let limited = [
            ("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "25000\n"),
            ("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n"),
        ];
        assert_eq!(smallest_quota(&places, files(&limited)), Some(0.25));
        let open = [
            ("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n"),
            ("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n"),
        ];
        assert_eq!(smallest_quota(&places, files(&open)), None);
    }

    #[test]
    fn both_versions_mounted() {
        let mounts = "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                      41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let found = places("1:cpu:/a\n0::/b\n", mounts);
        let directories: Vec<_> = found.iter().map(|p| p.directory.clone()).collect();
        assert_eq!(
            directories,
            [
                Path::new("/sys/fs/cgroup/unified/b"),
                Path::new("/sys/fs/cgroup/cpu/a")
            ]
        );
        let read = files(&[
            ("/sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "300000"),
            ("/sys/fs/cgroup/cpu/a/cpu.cfs_period_us", "100000"),
        ]);
        assert_eq!(smallest_quota(&found, read), Some(3.0));
    }

    #[test]
    fn in_a_namespace_the_mount_is_the_cgroup() {
        let mounts = "30 23 0:26 /../../pods /mnt/with\\040space rw - cgroup2 cgroup2 rw\n";
        let places = places("0::/../other\n", mounts);
        assert_eq!(places[0].directory, Path::new("/mnt/with space"));
        let read = files(&[("/mnt/with space/cpu.max", "50000 100000")]);
        assert_eq!(smallest_quota(&places, read), Some(0.5));
    }

    #[test]
    fn nonsense_is_no_quota() {
        assert_eq!(places("nonsense\n0::/x\n", "nonsense\n"), []);
        for text in ["", "max", "0 100000", "x y", "100 0", "-5 100000"] {
            assert_eq!(parse_v2(text), None, "{text}");
        }
    }
}
