//! Where results go: one rendering on stdout, the document and the intervals in files.
//!
//! Files are opened before the run, so that a long run is not lost to a wrong path; an old result
//! is cut only when the new one is there. Nothing here may compute.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anstream::{AutoStream, ColorChoice};
use loadgen::render::{self, Style, Wrk};
use loadgen_core::cli::{Format, OutputArgs};
use loadgen_core::results::Document;

use crate::failure::Failure;

/// The files that were asked for.
#[derive(Debug, Default)]
pub(crate) struct Files {
    json: Option<Pending>,
    timeseries: Option<Pending>,
}

impl Files {
    /// Opens them.
    ///
    /// # Errors
    /// Exit code 5, with the path and the reason.
    pub(crate) fn open(output: &OutputArgs) -> Result<Self, Failure> {
        Self::of(
            output.json.as_ref().and_then(Option::as_deref),
            output.timeseries.as_deref(),
        )
    }

    /// The same, by path.
    ///
    /// # Errors
    /// Exit code 5, with the path and the reason.
    pub(crate) fn of(json: Option<&Path>, timeseries: Option<&Path>) -> Result<Self, Failure> {
        Ok(Self {
            json: json.map(Pending::open).transpose()?,
            timeseries: timeseries.map(Pending::open).transpose()?,
        })
    }

    /// Fills them. Both are tried, whatever becomes of the first.
    ///
    /// # Errors
    /// Exit code 5, with the path and the reason.
    pub(crate) fn write(self, document: &Document) -> Result<(), Failure> {
        let style = Style::default();
        let json = self
            .json
            .map(|file| file.write(&render::json(document, &style)));
        let timeseries = self.timeseries.map(|file| file.write(&lines(document)?));
        json.transpose()?;
        timeseries.transpose()?;
        Ok(())
    }
}

/// The rendering that `output` names. Colours are for terminals, and never with NO_COLOR.
pub(crate) fn rendering(output: &OutputArgs, document: &Document) -> String {
    let style = Style {
        color: AutoStream::choice(&io::stdout()) != ColorChoice::Never,
        percentiles: output.percentiles.clone(),
    };
    match output.rendering() {
        Format::Text => render::text(document, &style),
        Format::Json => render::json(document, &style),
        Format::Csv => render::csv(document, &style),
        Format::Wrk => render::wrk(document, &Wrk::default()),
    }
}

/// Writes the one rendering.
///
/// # Errors
/// Exit code 5.
pub(crate) fn stdout(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(|e| Failure::output(format!("stdout cannot be written: {e}")))
}

/// One JSON object a line, one line an interval.
fn lines(document: &Document) -> Result<String, Failure> {
    let mut text = String::new();
    for interval in &document.intervals {
        let line = serde_json::to_string(interval)
            .map_err(|e| Failure::output(format!("an interval is no JSON: {e}")))?;
        text.push_str(&line);
        text.push('\n');
    }
    Ok(text)
}

/// A file that was opened and not yet written.
#[derive(Debug)]
struct Pending {
    path: PathBuf,
    file: File,
    /// Made by us, and of no use to anyone as long as it is empty.
    is_empty_and_ours: bool,
}

impl Pending {
    fn open(path: &Path) -> Result<Self, Failure> {
        let existed = path.exists();
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(|e| unwritable(path, &e))?;
        Ok(Self {
            path: path.to_owned(),
            file,
            is_empty_and_ours: !existed,
        })
    }

    fn write(mut self, text: &str) -> Result<(), Failure> {
        // Not everything that can be opened can be cut: a pipe, a terminal.
        let is_plain = self.file.metadata().is_ok_and(|m| m.is_file());
        let cut = if is_plain {
            self.file.set_len(0)
        } else {
            Ok(())
        };
        let written = cut
            .and_then(|()| self.file.write_all(text.as_bytes()))
            .and_then(|()| self.file.flush());
        written.map_err(|e| unwritable(&self.path, &e))?;
        self.is_empty_and_ours = false;
        Ok(())
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if self.is_empty_and_ours {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    Failure::output(format!("{} cannot be written: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use loadgen_core::results::sample;

    #[test]
    fn an_old_result_stays_until_the_new_one_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("result.json");
        std::fs::write(&path, "x".repeat(1 << 20)).unwrap();
        let files = Files::of(Some(&path), None).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 1 << 20);
        drop(files);
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 1 << 20);
        let document = sample::document(false);
        let files = Files::of(Some(&path), None).unwrap();
        files.write(&document).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let back: Document = serde_json::from_str(&text).unwrap();
        assert_eq!(back.run_id, document.run_id);
    }

    #[test]
    fn a_run_that_never_was_leaves_no_empty_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new.json");
        drop(Files::of(Some(&path), None).unwrap());
        assert!(!path.exists());
    }

    #[test]
    fn intervals_are_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("series.ndjson");
        let document = sample::document(false);
        let files = Files::of(None, Some(&path)).unwrap();
        files.write(&document).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), document.intervals.len());
        assert!(!document.intervals.is_empty());
        for line in text.lines() {
            let row: serde_json::Value = serde_json::from_str(line).unwrap();
            assert!(row["t_s"].is_number());
        }
    }

    #[test]
    fn what_cannot_be_written_is_said_before_and_after() {
        let nowhere = Path::new("/no/such/folder/x.json");
        let refused = Files::of(Some(nowhere), None).unwrap_err();
        assert_eq!(refused.code, 5);
        assert!(refused.text.contains("/no/such/folder/x.json"));
        let full = Files::of(Some(Path::new("/dev/full")), None).unwrap();
        let refused = full.write(&sample::document(false)).unwrap_err();
        assert_eq!(refused.code, 5);
        assert!(Path::new("/dev/full").exists());
    }
}
