//! `portwatch replay`: a recording through the same decoder, correlator and sinks.

use super::filters::FilterArgs;
use super::trace::Output;
use super::{Printer, values};
use crate::correlate::Correlator;
use crate::exit_code::{ExitCode, Refused};
use crate::follow::{Flow, tell};
use crate::recording::{Header, ReadError, Reader, Replayed, Step};
use crate::text;
use anyhow::Context as _;
use clap::Args;
use std::fs::File;
use std::io::{self, BufReader, Read, Write as _};
use std::path::PathBuf;

/// Show what a recording of `trace --record` holds, as it was shown then
#[derive(Args, Clone, Debug)]
#[command(after_long_help = "\
Examples:
  portwatch replay FILE                    what `portwatch trace --record FILE` showed
  portwatch replay FILE -o json            the same conflicts as JSON
  portwatch replay FILE --port 8080        a recording has everything; filters choose now
  zcat FILE.gz | portwatch replay -        from a pipe

It needs no privilege and looks at nothing of this host. A recording that is cut off or damaged is shown up to there.

Exit codes: 0 done; 1 failed, or the recording is cut off or damaged; 2 wrong usage; 3 with --check: a conflict was in
it; 4 this version cannot read it.")]
pub struct ReplayArgs {
    /// The recording; - for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Which conflicts.
    #[command(flatten)]
    filter: FilterArgs,

    /// End after so many conflicts (a repeated one counts once)
    #[arg(long, value_name = "N", value_parser = values::count)]
    count: Option<u64>,

    /// How conflicts are shown
    #[arg(short, long, value_name = "FORM", value_enum, default_value_t)]
    output: Output,

    /// End with exit code 3 if a conflict was in it
    #[arg(long)]
    check: bool,
}

/// How a replay went.
#[derive(Debug, Default)]
pub struct Replay {
    /// What was lost when it was recorded, if the replay came to the end.
    pub lost: Vec<(String, u64)>,
    /// Questions that the recording has no answer to.
    pub missing: u64,
    /// Why the recording could not be read to its end.
    pub fault: Option<ReadError>,
}

/// Runs the command.
///
/// # Errors
/// Wrong usage, a recording that cannot be read (to its end), or output that could not be written.
pub fn run(args: ReplayArgs) -> anyhow::Result<ExitCode> {
    let name = text::printable_bytes(args.file.as_os_str().as_encoded_bytes());
    if args.file.as_os_str() == "-" {
        return show(io::stdin().lock(), "standard input", args);
    }
    let file = File::open(&args.file).with_context(|| format!("{name}: cannot be opened"))?;
    show(BufReader::new(file), &name, args)
}

fn show(input: impl Read, name: &str, args: ReplayArgs) -> anyhow::Result<ExitCode> {
    let (reader, header) = Reader::open(input).map_err(|error| refused(name, &error))?;
    announce(&header)?;
    let filter = args.filter.filter(header.settings.own_netns)?;
    let mut printer = Printer::to_stdout(args.output, filter, args.count);
    let replay = replay(reader, &header, &mut printer).context("cannot write what was recorded")?;
    // Names from a file, which anybody may have written.
    let lost = replay.lost.into_iter().map(|(name, count)| (text::printable(&name).into_owned(), count));
    let summary = printer.summary().with_lost(lost);
    writeln!(io::stderr(), "{summary}")?;
    if replay.missing > 0 {
        writeln!(
            io::stderr(),
            "portwatch: {} questions have no answer in this recording, by portwatch {}: other versions ask other \
             questions; those facts are shown as not known",
            replay.missing,
            text::printable(&header.portwatch)
        )?;
    }
    if let Some(fault) = replay.fault {
        return Err(refused(name, &fault).context("what stands before was replayed"));
    }
    Ok(if args.check && summary.conflicts > 0 { ExitCode::Found } else { ExitCode::Done })
}

/// Gives a correlator what a recording says that one was given, and shows what it tells.
///
/// # Errors
/// If a report could not be written; a broken pipe among them. A fault of the recording is in the answer.
pub fn replay<R: Read>(mut reader: Reader<R>, header: &Header, printer: &mut Printer) -> io::Result<Replay> {
    let mut correlator = Correlator::new(header.settings.clone());
    let mut lookups = Replayed::new(header.clock);
    let mut outcome = Replay::default();
    loop {
        let flow = match reader.step() {
            Ok(Step::Event(event, answers)) => {
                lookups.load(answers);
                tell(printer, correlator.accept(event, &mut lookups))?
            }
            Ok(Step::Tick(now_boot_ns)) => tell(printer, correlator.tick(now_boot_ns))?,
            Ok(Step::End(end)) => {
                outcome.lost = end.lost;
                break;
            }
            Err(fault) => {
                outcome.fault = Some(fault);
                break;
            }
        };
        if flow == Flow::Enough {
            break;
        }
    }
    tell(printer, correlator.finish())?;
    outcome.missing = lookups.missing();
    Ok(outcome)
}

/// What was said when the recording began.
fn announce(header: &Header) -> io::Result<()> {
    let mut err = io::stderr().lock();
    writeln!(err, "portwatch: {}", text::printable(&header.describe()))?;
    for line in &header.announced {
        writeln!(err, "{}", text::printable(line))?;
    }
    Ok(())
}

fn refused(name: &str, error: &ReadError) -> anyhow::Error {
    let message = format!("{name} is {}", text::printable(&error.to_string()));
    match error {
        ReadError::Format(_) | ReadError::Layout { .. } => Refused::unsupported(message).into(),
        _ => anyhow::Error::msg(message),
    }
}
