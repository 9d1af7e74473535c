//! Which worker goes to which CPU, and the pinning itself.
//!
//! The plan is a pure function of what was asked and what is allowed. It must never leave the
//! allowed set: a container's neighbours are somebody else's experiment.

use super::cpus::{Allowed, format_list};

/// What was asked for.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// Worker threads; `None`: as many as make sense.
    pub workers: Option<usize>,
    /// CPUs to pin to, in the order of the workers; `None`: any allowed ones.
    pub cpus: Option<&'a [u32]>,
    /// Leave the workers to the scheduler.
    pub unpinned: bool,
    /// A worker without a connection has nothing to do.
    pub connections: u32,
}

/// One entry per worker: the CPU it is pinned to, or `None` where the scheduler decides.
///
/// By default one worker per allowed CPU, not more than the cgroup's quota keeps busy and not
/// more than connections. More workers than CPUs share them in turn.
///
/// # Errors
/// A sentence, when a named CPU is not allowed: the environment refuses what was asked.
pub fn plan(ask: &Ask<'_>, allowed: &Allowed) -> Result<Vec<Option<u32>>, String> {
    if let Some(named) = ask.cpus {
        let outside = named.iter().find(|cpu| !allowed.cpus.contains(cpu));
        if let Some(cpu) = outside {
            return Err(format!(
                "CPU {cpu} of --cpus {} is not among the CPUs this process may use: {}",
                format_list(named),
                format_list(&allowed.cpus),
            ));
        }
    }
    let possible = match ask.cpus {
        Some(named) => named.len(),
        None => allowed.parallelism(),
    };
    let connections = usize::try_from(ask.connections).unwrap_or(usize::MAX);
    let workers = ask.workers.unwrap_or(possible.min(connections)).max(1);
    let cpus: &[u32] = match ask.cpus {
        _ if ask.unpinned => &[],
        Some(named) => named,
        None => &allowed.cpus,
    };
    let turn = cpus.iter().copied().map(Some).cycle();
    Ok(turn.chain(std::iter::repeat(None)).take(workers).collect())
}

/// Pins the calling thread to `cpu`.
///
/// # Errors
/// What the kernel refused, in words for the document.
pub fn pin_current(worker: usize, cpu: u32) -> Result<(), String> {
    let id = usize::try_from(cpu).unwrap_or(usize::MAX);
    let pinned =
        cpu <= super::cpus::CPU_MAX && core_affinity::set_for_current(core_affinity::CoreId { id });
    if pinned {
        Ok(())
    } else {
        Err(format!(
            "the kernel refused to pin worker {worker} to CPU {cpu}; it runs where the scheduler puts it"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(cpus: &[u32], quota: Option<f64>) -> Allowed {
        Allowed {
            cpus: cpus.to_vec(),
            quota,
        }
    }

    const ASK: Ask<'static> = Ask {
        workers: None,
        cpus: None,
        unpinned: false,
        connections: 100,
    };

    #[test]
    fn by_default_one_for_each_allowed_cpu() {
        let four = allowed(&[2, 3, 6, 7], None);
        let all = [Some(2), Some(3), Some(6), Some(7)];
        assert_eq!(plan(&ASK, &four).unwrap(), all);
        let few = Ask {
            connections: 2,
            ..ASK
        };
        assert_eq!(plan(&few, &four).unwrap(), all[..2]);
        let quota = allowed(&[2, 3, 6, 7], Some(1.5));
        assert_eq!(plan(&ASK, &quota).unwrap(), all[..2]);
    }

    #[test]
    fn named_cpus_are_used_in_their_order_and_shared_in_turn() {
        let ask = Ask {
            cpus: Some(&[3, 2]),
            ..ASK
        };
        let four = allowed(&[0, 1, 2, 3], Some(1.0));
        assert_eq!(plan(&ask, &four).unwrap(), [Some(3), Some(2)]);
        let three = Ask {
            workers: Some(3),
            ..ask
        };
        assert_eq!(plan(&three, &four).unwrap(), [Some(3), Some(2), Some(3)]);
    }

    #[test]
    fn a_cpu_outside_is_refused_by_name() {
        let ask = Ask {
            cpus: Some(&[1, 9]),
            ..ASK
        };
        let refused = plan(&ask, &allowed(&[0, 1, 2], None)).unwrap_err();
        assert!(refused.contains("CPU 9 of --cpus 1,9"), "{refused}");
        assert!(refused.ends_with("0-2"), "{refused}");
    }

    #[test]
    fn unpinned_workers_have_no_cpu() {
        let ask = Ask {
            unpinned: true,
            workers: Some(3),
            ..ASK
        };
        assert_eq!(plan(&ask, &allowed(&[0, 1], None)).unwrap(), [None; 3]);
        let unknown = plan(&ASK, &allowed(&[], None)).unwrap();
        assert_eq!(unknown, [None]);
    }

    #[test]
    fn pinning_takes_effect_and_a_missing_cpu_is_refused_in_words() {
        // A thread of its own: pinning the test's thread would pin its neighbours.
        let own = std::thread::spawn(|| {
            let first = Allowed::read().cpus[0];
            pin_current(0, first).unwrap();
            assert_eq!(Allowed::read().cpus, [first]);
            let refused = pin_current(7, 1023).unwrap_err();
            assert!(refused.contains("worker 7 to CPU 1023"), "{refused}");
            assert!(pin_current(7, 100_000).is_err());
        });
        own.join().unwrap();
    }
}
