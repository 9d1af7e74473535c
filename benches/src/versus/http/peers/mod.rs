//! The HTTP generators, one file each: its command for a job, and how its report is read.

pub(crate) mod ab;
pub(crate) mod floor;
pub(crate) mod h2load;
pub(crate) mod oha;
pub(crate) mod ours;
pub(crate) mod wrk;
pub(crate) mod wrk2;

use super::super::model::Job;

/// The URL of a job.
fn url(job: &Job<'_>) -> String {
    format!("http://{}{}", job.address, job.resource)
}
