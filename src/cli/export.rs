//! `floodmark export`: writes stored events to a file, or to standard output. It reads the store beside servers
//! that run.
//!
//! A file of lines can be gone on with (`--resume`) after whatever has ended the command. Beside it stands
//! `FILE.progress` until it is whole: up to which byte the file is right, and the last event up to there. The
//! file is on disk before that is, so a kill at any moment leaves no event out and none twice.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, IsTerminal, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use clap::{Args, ValueEnum};
use indicatif::{HumanBytes, HumanCount, ProgressBar};
use serde::{Deserialize, Serialize};

use super::{
    ServeArgs, backup::files::sync_parent, connect, exit::Exit, keep_files_private, with_config,
};
use crate::{
    config::Config,
    domain::{
        event_filter::EventFilter,
        time::{BusinessDay, BusinessZone, MAX_FUTURE, Millis, now_ms, parse_rfc3339},
    },
    export::{self, EventFormat, Export, packed::Packing},
    store::events::export::{ExportAsked, ExportKey},
};

/// The flags of `floodmark export`.
#[derive(Args, Clone, Debug)]
pub struct ExportArgs {
    #[command(flatten)]
    serve: ServeArgs,
    /// The first moment of event time: RFC 3339 or a date [default: the beginning]
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// The end: RFC 3339, or a date, which is exported too [default: now]
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// Only events of this type
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// Only events that have this text in their id, user, session or properties
    #[arg(long, value_name = "TEXT")]
    text: Option<String>,
    /// Only events whose property passes a test, such as path=/checkout* or 'amount=>=100'
    #[arg(long = "where", value_name = "PROPERTY=TEST")]
    tests: Vec<String>,
    /// The format
    #[arg(long, value_enum, default_value = "ndjson")]
    format: FormatArg,
    /// Pack lines; Parquet is compressed within
    #[arg(long, value_enum)]
    compress: Option<PackingArg>,
    /// The most events
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Only events behind this one: TIMESTAMP~RECEIVED~TYPE~ID
    #[arg(long, value_name = "KEY")]
    after: Option<String>,
    /// The file; it must not be there yet [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Go on with a file of lines that is not whole
    #[arg(long, requires = "output")]
    resume: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FormatArg {
    Ndjson,
    Csv,
    Parquet,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum PackingArg {
    Gzip,
    Zstd,
}

/// How far a file has come, as `FILE.progress` has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct ExportProgress {
    /// What was asked for, in words: a file is gone on with by the same flags only.
    asked: String,
    /// Where the export ends, Unix ms: events that come meanwhile do not belong to it.
    until: Millis,
    /// Up to here the file is right.
    bytes: u64,
    /// The events up to there.
    rows: u64,
    /// The last of them.
    after: Option<String>,
}

/// Runs the command.
pub fn run(args: &ExportArgs) -> ExitCode {
    with_config(&args.serve, |config| {
        keep_files_private();
        match actix::System::new().block_on(exported(&config, args)) {
            Ok(words) => {
                eprintln!("{words}");
                Exit::Done.into()
            }
            Err(words) => {
                eprintln!("floodmark export: {words}");
                Exit::Failed.into()
            }
        }
    })
}

async fn exported(config: &Config, args: &ExportArgs) -> Result<String, String> {
    let zone = BusinessZone::named(&config.timezone)?;
    let mut export = asked(args, &zone, now_ms())?;
    let written = format!("{:?}", (&args.from, &args.to, &args.kind, &args.text, &args.tests));
    let written = format!("{written} {:?} {:?} {:?}", export.format, export.packing, args.limit);
    let mut file = match &args.output {
        None => OutputFile::to_stdout(),
        Some(path) if args.resume => OutputFile::go_on(path, &written, &mut export)?,
        Some(path) => OutputFile::new(path, written, &export)?,
    };
    let stores = connect::stores(config).await?;
    stores.info.claim().await.map_err(|e| e.to_string())?;
    let begun = file.rows;
    let bar = match io::stderr().is_terminal() {
        true => ProgressBar::new_spinner(),
        false => ProgressBar::hidden(),
    };
    let mut pieces = export::begin(stores.events.clone(), export);
    let mut rows = begun;
    while let Some(piece) = pieces.recv().await {
        let piece = piece.map_err(|e| format!("{e}{}", file.hint()))?;
        rows = begun + piece.rows;
        // It may block: the store is read by other threads.
        file.add(&piece.bytes, rows, piece.upto.as_ref()).map_err(|e| file.failed(&e))?;
        bar.set_message(format!("{} events, {}", HumanCount(rows), HumanBytes(file.bytes)));
        bar.tick();
    }
    bar.finish_and_clear();
    file.finish().map_err(|e| file.failed(&e))?;
    let place = args.output.as_ref().map_or(String::new(), |it| format!(" to {}", it.display()));
    Ok(format!("exported {rows} events, {}{place}", HumanBytes(file.bytes)))
}

/// What the flags ask for.
fn asked(args: &ExportArgs, zone: &BusinessZone, now: Millis) -> Result<Export, String> {
    let mut filter = EventFilter::default();
    (filter.kind, filter.text) = (args.kind.clone(), args.text.clone());
    for test in &args.tests {
        let (property, test) =
            test.split_once('=').ok_or_else(|| format!("--where {test}: it is PROPERTY=TEST"))?;
        filter.test(property, test).map_err(|why| format!("--where {property}: {why}"))?;
    }
    let moment = |name: &str, text: &Option<String>, of: fn(BusinessDay) -> Millis| match text {
        None => Ok(None),
        Some(text) => {
            let at = parse_rfc3339(text).or_else(|| zone.day_named(text).map(of));
            at.map(Some).ok_or_else(|| format!("--{name} {text}: it is RFC 3339 or a date"))
        }
    };
    let from = moment("from", &args.from, |day| day.start)?.unwrap_or(0);
    let latest = now + MAX_FUTURE + 1;
    let until = moment("to", &args.to, |day| day.end)?.map_or(latest, |to| to.min(latest));
    if from >= until {
        return Err("--from lies before --to, and not in the future".to_owned());
    }
    let after = match &args.after {
        None => None,
        Some(text) => Some(
            ExportKey::parse(text)
                .ok_or("--after is TIMESTAMP~RECEIVED~TYPE~ID of the last event")?,
        ),
    };
    let format = match args.format {
        FormatArg::Ndjson => EventFormat::Ndjson,
        FormatArg::Csv => EventFormat::Csv,
        FormatArg::Parquet => EventFormat::Parquet,
    };
    let packing = match args.compress {
        None => Packing::Plain,
        Some(_) if format == EventFormat::Parquet => {
            return Err("--compress is not for Parquet, which is compressed within".to_owned());
        }
        Some(PackingArg::Gzip) => Packing::Gzip,
        Some(PackingArg::Zstd) => Packing::Zstd,
    };
    let asked = ExportAsked { filter: Arc::new(filter), from, until, after };
    Ok(Export { asked, limit: args.limit, format, packing })
}

/// The file that is written.
struct OutputFile {
    out: Box<dyn Write>,
    /// The file itself, to be brought to disk; `None` for standard output.
    file: Option<File>,
    /// Where the file is now, and where it is once it is whole.
    paths: Option<(PathBuf, PathBuf)>,
    /// `None` where it can't be gone on with.
    progress: Option<ExportProgress>,
    bytes: u64,
    rows: u64,
}

impl OutputFile {
    fn to_stdout() -> OutputFile {
        let out = Box::new(io::stdout());
        OutputFile { out, file: None, paths: None, progress: None, bytes: 0, rows: 0 }
    }

    fn new(path: &Path, asked: String, export: &Export) -> Result<OutputFile, String> {
        if path.exists() {
            let words = format!("{} is there already", path.display());
            return Err(match progress_of(path).exists() {
                true => format!("{words} and not whole: go on with it by --resume"),
                false => words,
            });
        }
        let is_parquet = export.format == EventFormat::Parquet;
        // Nobody is to take a Parquet file without its end for one.
        let now = if is_parquet { beside(path, ".part") } else { path.to_owned() };
        let file = File::create(&now).map_err(|e| format!("{}: {e}", now.display()))?;
        let until = export.asked.until;
        let after = export.asked.after.as_ref().map(ToString::to_string);
        let progress = ExportProgress { asked, until, bytes: 0, rows: 0, after };
        let file = OutputFile {
            out: Box::new(file.try_clone().map_err(|e| e.to_string())?),
            file: Some(file),
            paths: Some((now, path.to_owned())),
            progress: (!is_parquet).then_some(progress),
            bytes: 0,
            rows: 0,
        };
        file.note().map_err(|e| file.failed(&e))?;
        Ok(file)
    }

    /// Opens a file that is not whole, and lets the export begin where it ends.
    fn go_on(path: &Path, asked: &str, export: &mut Export) -> Result<OutputFile, String> {
        let from = progress_of(path);
        let wrong = |e: &dyn std::fmt::Display| format!("{}: {e}", from.display());
        let text = fs::read_to_string(&from).map_err(|e| wrong(&e))?;
        let progress: ExportProgress = serde_json::from_str(&text).map_err(|e| wrong(&e))?;
        if progress.asked != asked {
            return Err(format!(
                "{} was begun by other flags: go on with the same, or begin another file",
                path.display()
            ));
        }
        let in_words = |e: io::Error| format!("{}: {e}", path.display());
        let mut file = OpenOptions::new().write(true).open(path).map_err(in_words)?;
        // What is behind was written after the last note.
        file.set_len(progress.bytes).map_err(in_words)?;
        file.seek(SeekFrom::End(0)).map_err(in_words)?;
        export.asked.until = progress.until;
        // A file of which nothing is right yet begins anew, with its head.
        if progress.bytes > 0 {
            let after = progress.after.as_deref().map(ExportKey::parse);
            export.asked.after = after.ok_or_else(|| wrong(&"it says no event"))?;
        }
        export.limit = export.limit.map(|limit| limit - progress.rows.min(limit));
        Ok(OutputFile {
            out: Box::new(file.try_clone().map_err(in_words)?),
            file: Some(file),
            paths: Some((path.to_owned(), path.to_owned())),
            bytes: progress.bytes,
            rows: progress.rows,
            progress: Some(progress),
        })
    }

    /// Adds a piece. Where the file could end with it, that is noted.
    fn add(&mut self, bytes: &[u8], rows: u64, upto: Option<&ExportKey>) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.bytes += bytes.len() as u64;
        self.rows = rows;
        if let (Some(progress), Some(upto)) = (&mut self.progress, upto) {
            (progress.bytes, progress.rows) = (self.bytes, rows);
            progress.after = Some(upto.to_string());
            self.note()?;
            crate::failpoint::kill_point!("export-noted");
        }
        Ok(())
    }

    /// Writes the progress, once the file itself is on disk.
    fn note(&self) -> io::Result<()> {
        let (Some(file), Some((_, path)), Some(progress)) =
            (&self.file, &self.paths, &self.progress)
        else {
            return Ok(());
        };
        file.sync_data()?;
        let (to, new) = (progress_of(path), beside(path, ".progress.new"));
        let mut out = File::create(&new)?;
        out.write_all(serde_json::to_string(progress)?.as_bytes())?;
        out.sync_data()?;
        fs::rename(new, to)?;
        sync_parent(path).map_err(io::Error::other)
    }

    /// Makes the file a whole one.
    fn finish(&mut self) -> io::Result<()> {
        self.out.flush()?;
        let (Some(file), Some((now, path))) = (&self.file, &self.paths) else { return Ok(()) };
        file.sync_all()?;
        if now != path {
            fs::rename(now, path)?;
        }
        if self.progress.is_some() {
            fs::remove_file(progress_of(path))?;
        }
        sync_parent(path).map_err(io::Error::other)
    }

    fn hint(&self) -> String {
        match (&self.paths, &self.progress) {
            (Some((_, path)), Some(progress)) => format!(
                "; the first {} events of {} are right: go on with it by --resume",
                progress.rows,
                path.display()
            ),
            (Some((now, _)), None) => format!("; {} is not whole", now.display()),
            (None, _) => "; what was written is not whole".to_owned(),
        }
    }

    fn failed(&self, error: &io::Error) -> String {
        let place =
            self.paths.as_ref().map_or("standard output".into(), |it| it.0.to_string_lossy());
        format!("{place}: {error}{}", self.hint())
    }
}

fn progress_of(path: &Path) -> PathBuf {
    beside(path, ".progress")
}

/// A file beside another one, with an ending after its name.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}
