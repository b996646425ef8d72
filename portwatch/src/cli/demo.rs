//! `portwatch demo`: stages the story of the stolen port in a network namespace of its own and catches the thief.

use std::io::{self, Write as _};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use clap::{Args, ValueEnum};
use jiff::tz::TimeZone;
use serde::Serialize;
use tokio::time::timeout;

use super::trace::BackendChoice;
use crate::correlate::Report;
use crate::demo::namespace::Namespace;
use crate::demo::service::{Answer, Service};
use crate::exit_code::{ExitCode, Refused};
use crate::model::Conflict;
use crate::pipeline::{Pipeline, Stop};
use crate::probe::Sizes;
use crate::sink::Sink as _;
use crate::sink::terminal::{Form, Terminal, width_of_stdout};

/// Stage a stolen port in a network namespace of its own, and name the thief
#[derive(Args, Clone, Debug)]
pub struct DemoArgs {
    /// How the story is told
    #[arg(short, long, value_name = "FORM", value_enum, default_value_t)]
    output: Telling,

    /// Kernel hooks to use; auto takes the best that this kernel admits
    #[arg(long, value_name = "BACKEND", value_enum, default_value_t)]
    backend: BackendChoice,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Telling {
    /// As a story
    #[default]
    Text,
    /// As one JSON object
    Json,
}

/// Where service B listens: below every ephemeral range.
const PORT_OF_B: u16 = 7_000;
/// The namespace's ip_local_port_range: so narrow that the story can be followed.
const RANGE: (u16, u16) = (40_000, 40_009);
/// How long portwatch may take to tell of the conflict before the demo has failed. Emulated machines are slow.
const PATIENCE: Duration = Duration::from_secs(20);

/// Everything that happened.
#[derive(Debug, Serialize)]
struct Story {
    schema: u32,
    netns: u64,
    range: (u16, u16),
    backend: &'static str,
    /// The port that the kernel gave to A.
    port: u16,
    service_a: Part,
    service_b: Part,
    service_c: Part,
    /// What service C was told.
    refused: String,
    conflict: Conflict,
    /// The port reserved then.
    reserved: u16,
    /// A and C once more, with the port reserved.
    service_a_again: Option<Part>,
    service_c_again: Option<Part>,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Part {
    pid: u32,
    /// The port that it has; C's first try has none.
    port: Option<u16>,
}

/// Runs the command.
///
/// # Errors
/// When this host does not admit the stage or the hooks, or the story did not go as it must.
pub fn run(args: &DemoArgs) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let outcome = runtime.block_on(async {
        let mut stop = Stop::install()?;
        tokio::select! {
            biased;
            () = stop.wait() => bail!("interrupted; the demo's namespace and services are gone"),
            story = perform(args) => story,
        }
    });
    runtime.shutdown_background();
    outcome.map(|()| ExitCode::Done)
}

async fn perform(args: &DemoArgs) -> anyhow::Result<()> {
    let tell = |line: &str| match args.output {
        Telling::Text => writeln!(io::stdout(), "{line}"),
        Telling::Json => Ok(()),
    };
    let stage = Namespace::with_range(RANGE.0, RANGE.1).map_err(no_stage)?;
    let mut pipeline = Pipeline::start(args.backend.forced(), Sizes::default())?;
    let backend = pipeline.gauge.status().backend.name();
    tell(&format!(
        "A network namespace of its own (netns {}), in which clients get ports {}-{}.\n\
         portwatch watches, with the backend {backend}.\n",
        stage.inode()?,
        RANGE.0,
        RANGE.1
    ))?;
    let (first, services) = steal(&stage, &mut pipeline, &tell).await?;
    if args.output == Telling::Text {
        show(&first.conflict)?;
    }
    let port = first.port;
    tell("The remedy, in this namespace only: the kernel is told not to hand the port out again.")?;
    tell(&format!("  net.ipv4.ip_local_reserved_ports = {port}\n"))?;
    stage.reserve(port)?;
    let story = repeat(&stage, first, services, &tell).await?;
    drop(stage);
    match args.output {
        Telling::Text => tell("\nEverything is cleaned up: the namespace and its services are gone.")?,
        Telling::Json => writeln!(io::stdout(), "{}", serde_json::to_string(&story)?)?,
    }
    Ok(())
}

fn no_stage(error: io::Error) -> anyhow::Error {
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES | libc::EROFS) => Refused::unsupported(format!(
            "cannot make a network namespace for the demo: {error}\n  it needs root (CAP_SYS_ADMIN and CAP_NET_ADMIN) \
             and a writable /proc/sys\n  remedy: sudo portwatch demo"
        ))
        .into(),
        _ => anyhow::Error::from(error).context("making a network namespace for the demo"),
    }
}

/// The services that still run after the first act.
struct Services {
    a: Service,
    b: Service,
}

type Tell<'a> = &'a dyn Fn(&str) -> io::Result<()>;

/// First act: A connects to B, and gets the port that C wants.
async fn steal(
    stage: &Namespace,
    pipeline: &mut Pipeline,
    tell: Tell<'_>,
) -> anyhow::Result<(Story, Services)> {
    let b = Service::start(stage, "service-b", "listen", PORT_OF_B).await?;
    ensure!(b.answer == Answer::Port(PORT_OF_B), "service B could not listen: {:?}", b.answer);
    tell(&format!("1. service-b[{}] listens on 127.0.0.1:{PORT_OF_B}.", b.pid))?;
    let a = Service::start(stage, "service-a", "connect", PORT_OF_B).await?;
    let Answer::Port(port) = a.answer else { bail!("service A could not connect: {:?}", a.answer) };
    tell(&format!(
        "2. service-a[{}] connects to it. It asked for no port; the kernel gave it {port}.",
        a.pid
    ))?;
    let c = Service::start(stage, "service-c", "listen", port).await?;
    let Answer::Refused(refused) = c.answer.clone() else { bail!("nobody refused port {port} to service C") };
    tell(&format!("3. service-c[{}] wants to listen on 127.0.0.1:{port} and is told: {refused}", c.pid))?;
    tell("   No server has the port. What portwatch says:\n")?;
    let netns = stage.inode()?;
    let conflict = conflict(pipeline, netns, port).await?;
    let named =
        conflict.holders.first().and_then(|holder| holder.process.as_ref()).map(|process| process.pid);
    ensure!(named == Some(a.pid), "portwatch did not name service A ({}), but {named:?}", a.pid);
    let story = Story {
        schema: 1,
        netns,
        range: RANGE,
        backend: pipeline.gauge.status().backend.name(),
        port,
        service_a: Part { pid: a.pid, port: Some(port) },
        service_b: Part { pid: b.pid, port: Some(PORT_OF_B) },
        service_c: Part { pid: c.pid, port: None },
        refused,
        conflict,
        reserved: port,
        service_a_again: None,
        service_c_again: None,
    };
    Ok((story, Services { a, b }))
}

/// Second act: the same again, with the port reserved.
async fn repeat(
    stage: &Namespace,
    mut story: Story,
    services: Services,
    tell: Tell<'_>,
) -> anyhow::Result<Story> {
    let port = story.port;
    let Services { a, b } = services;
    a.dismiss().await?;
    let a = Service::start(stage, "service-a", "connect", PORT_OF_B).await?;
    let Answer::Port(other) = a.answer else { bail!("service A could not connect again: {:?}", a.answer) };
    tell(&format!("4. service-a[{}] starts again and connects: the kernel gave it {other}.", a.pid))?;
    let c = Service::start(stage, "service-c", "listen", port).await?;
    ensure!(c.answer == Answer::Port(port), "service C was refused port {port} again: {:?}", c.answer);
    tell(&format!("5. service-c[{}] listens on 127.0.0.1:{port}.", c.pid))?;
    story.service_a_again = Some(Part { pid: a.pid, port: Some(other) });
    story.service_c_again = Some(Part { pid: c.pid, port: Some(port) });
    for service in [c, a, b] {
        service.dismiss().await?;
    }
    Ok(story)
}

/// The conflict over `port` in the namespace; others on this host are none of the demo's business.
async fn conflict(pipeline: &mut Pipeline, netns: u64, port: u16) -> anyhow::Result<Conflict> {
    let Pipeline { events, correlator, lookups, .. } = pipeline;
    let found = timeout(PATIENCE, async {
        while let Some(event) = events.recv().await {
            if let Some(Report::New(conflict)) = correlator.accept(event, lookups)
                && u64::from(conflict.netns) == netns
                && conflict.port == port
            {
                return Some(*conflict);
            }
        }
        None
    });
    found.await.context("portwatch reported nothing in time")?.context("the kernel side stopped reporting")
}

fn show(conflict: &Conflict) -> io::Result<()> {
    let width = width_of_stdout().unwrap_or(120);
    let mut terminal = Terminal::new(anstream::stdout(), Form::Wide, width, TimeZone::system());
    terminal.conflict(conflict)
}
