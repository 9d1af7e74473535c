//! One run of any protocol, from judged options to an exit code.
//!
//! Every protocol's subcommand ends here. Nothing here may name one.

use std::sync::Arc;

use loadgen_core::cli::{Format, OutputArgs};
use loadgen_core::engine::Client;
use loadgen_core::host;
use loadgen_core::results::{Document, Finding, Weight};
use loadgen_core::run::{Options, start_client};

use crate::failure::Failure;
use crate::output::Files;
use crate::say::say;
use crate::signals::Signals;
use crate::{drive, dry_run, output};

/// Runs `client`, or only says what it would do; the exit code.
///
/// # Errors
/// Why there was no run, or why its result could not be written.
pub(crate) fn launch(
    client: Arc<dyn Client>,
    options: Options,
    output: &OutputArgs,
) -> Result<u8, Failure> {
    let planned = (Arc::clone(&client), options.clone());
    launch_as(&*planned.0, &planned.1, output, |signals| {
        let handle = start_client(client, options)?;
        Ok(drive::to_end(handle, signals, output.quiet))
    })
}

/// The same, where a run is more than one run: `measure` makes the document.
///
/// # Errors
/// Why there was no run, or why its result could not be written.
pub(crate) fn launch_as(
    client: &dyn Client,
    options: &Options,
    output: &OutputArgs,
    measure: impl FnOnce(&Signals) -> Result<Document, Failure>,
) -> Result<u8, Failure> {
    if output.dry_run {
        output::stdout(&dry_run::plan(client, options)?)?;
        return Ok(0);
    }
    let files = Files::open(output)?;
    let signals = drive::signals()?;
    host::raise_open_files();
    let document = measure(&signals)?;
    // The file first: it is whole even where the reader of stdout has gone.
    let written = files.write(&document);
    output::stdout(&output::rendering(output, &document))?;
    written?;
    // The report for people has them already.
    if output.rendering() != Format::Text && !output.quiet {
        for line in findings(&document) {
            say(line);
        }
    }
    Ok(document.verdict.exit_code)
}

/// One line for each finding, the heaviest first, as the document has them.
pub(crate) fn findings(document: &Document) -> Vec<String> {
    let line = |finding: &Finding| {
        let weight = match finding.weight {
            Weight::Note => "note",
            Weight::Doubt => "doubt",
            Weight::Invalid => "invalid",
        };
        format!("{weight}: {}: {}", finding.code, finding.hint)
    };
    document.findings.iter().map(line).collect()
}
