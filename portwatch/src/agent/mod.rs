//! The agent: the pipeline of `trace`, for as long as the host runs, with sinks that keep, count and pass on.
//!
//! `fan` gives each conflict to every sink, `notify` talks to the service manager, `health` reads what cannot wait for a
//! conflict. The loop itself is [`crate::follow`].

mod fan;
mod notify;

use crate::cli::announce;
use crate::config::Config;
use crate::correlate::{Report, Stats};
use crate::exit_code::{ExitCode, Refused};
use crate::follow::{Audience, Conclusion, Flow, follow};
use crate::ledger::{Ledger, Summary};
use crate::owner::Live;
use crate::pipeline::{Gauge, Pipeline, Stop};
use crate::probe::Sizes;
use crate::sink::Told;
use crate::tail::server::{Hub, Server, Who};
use crate::tail::{Hello, PROTOCOL};
use crate::who::{self, Scope};
use fan::Fan;
use notify::Manager;
use std::io::{self, Write as _};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::signal::unix::{SignalKind, signal};

/// Reads the configuration again.
pub type Load<'a> = &'a dyn Fn() -> Result<Config, Refused>;

/// Runs until SIGTERM or Ctrl-C.
///
/// # Errors
/// No backend on this host, a port or socket that is taken, or a kernel side that stopped reporting.
pub fn run(config: Config, load: Load<'_>) -> anyhow::Result<ExitCode> {
    // The loop has the main thread; the ring, the metrics and the clients share the others.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let outcome = runtime.block_on(serve(config, load));
    runtime.shutdown_background();
    outcome
}

async fn serve(config: Config, load: Load<'_>) -> anyhow::Result<ExitCode> {
    let mut stop = Stop::install()?;
    let manager = Manager::new();
    // Before the hooks: whoever is in the way is told of at once.
    let tail = config.socket.as_deref().map(|path| Server::bind(path, &config.socket_group)).transpose()?;
    let sizes = Sizes { ports: config.table_size, ..Sizes::default() };
    let mut pipeline = Pipeline::start(config.backend, sizes)?;
    announce(pipeline.gauge.status(), &mut io::stderr())?;
    let hub = Hub::new();
    if let Some(tail) = tail {
        say(&tail.notices);
        tokio::spawn(tail.run(hello(&pipeline.gauge), hub.clone(), who_now()));
    }
    let fan = Arc::new(Mutex::new(Fan::default()));
    manager.ready(&status(&pipeline.gauge));
    let mut audience = Agent { fan: Arc::clone(&fan), hub, manager, ledger: Ledger::default() };
    let Pipeline { events, correlator, lookups, gauge } = &mut pipeline;
    let conclusion =
        follow(events, correlator, lookups, &mut audience, None, ending(&mut stop, load)).await?;
    audience.manager.stopping();
    let late = lock(&fan).end(None).err().unwrap_or_default();
    for name in &late {
        say(&[format!("{name} did not end in time; what it still had is lost")]);
    }
    let summary = Summary { lost: gauge.losses(correlator.stats()), ..audience.ledger.summary().clone() };
    writeln!(io::stderr(), "{summary}")?;
    anyhow::ensure!(conclusion != Conclusion::SourceEnded, "the kernel side stopped reporting");
    Ok(ExitCode::Done)
}

/// Whom the loop tells.
struct Agent {
    fan: Arc<Mutex<Fan>>,
    hub: Hub,
    manager: Manager,
    ledger: Ledger,
}

impl Audience for Agent {
    fn report(&mut self, report: Report) -> io::Result<Flow> {
        if !self.ledger.grow(report.conflict()) {
            self.ledger.open(report.conflict());
        }
        let told = Told::from(report);
        lock(&self.fan).tell(&told);
        self.hub.tell(&told);
        Ok(Flow::Continue)
    }

    fn turn(&mut self, _stats: Stats) {
        self.manager.feed();
    }
}

/// Reads the configuration again on SIGHUP, until it is time to end.
async fn ending(stop: &mut Stop, load: Load<'_>) {
    let Ok(mut again) = signal(SignalKind::hangup()) else { return stop.wait().await };
    loop {
        tokio::select! {
            () = stop.wait() => return,
            _ = again.recv() => match load() {
                Ok(_) => {}
                Err(refused) => say(&[format!("not reloaded: {refused}")]),
            },
        }
    }
}

fn hello(gauge: &Gauge) -> Hello {
    let status = gauge.status();
    Hello {
        protocol: PROTOCOL,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        backend: status.backend.name().to_owned(),
        blind: status.blind.clone(),
    }
}

fn who_now() -> Who {
    Arc::new(|queries| who::answer(queries, &Scope::All, true, &mut Live::new()))
}

fn status(gauge: &Gauge) -> String {
    format!("backend {}", gauge.status().backend.name())
}

fn lock(fan: &Mutex<Fan>) -> std::sync::MutexGuard<'_, Fan> {
    fan.lock().unwrap_or_else(PoisonError::into_inner)
}

/// To whoever reads the log. A log that takes no more is no reason to end.
fn say(lines: &[String]) {
    for line in lines {
        let _ = writeln!(io::stderr(), "portwatch: {}", crate::text::printable(line));
    }
}
