//! The agent: the pipeline of `trace`, for as long as the host runs, with sinks that keep, count and pass on.
//!
//! `fan` gives each conflict to every sink, `sinks` are those that run by themselves, `health` reads what cannot wait for
//! a conflict, `notify` talks to the service manager. The loop itself is [`crate::follow`].

mod fan;
mod health;
mod notify;
mod sinks;

use crate::cli::announce;
use crate::config::Config;
use crate::correlate::{Report, Stats};
use crate::exit_code::{ExitCode, Refused};
use crate::follow::{Audience, Conclusion, Flow, follow};
use crate::ledger::Ledger;
use crate::owner::Live;
use crate::pipeline::{Gauge, Pipeline, Stop};
use crate::probe::Sizes;
use crate::recording::Recorder;
use crate::serve::{self, Limits, Site, WebConfig};
use crate::sink::Told;
use crate::sink::metrics::{About, Metrics};
use crate::tail::server::{self as tail, Hub, Who};
use crate::tail::{Hello, PROTOCOL};
use crate::text;
use crate::who::{self, Scope};
use anyhow::Context as _;
use health::{Known, Sources, Watch};
use notify::Manager;
use sinks::Sinks;
use std::future::pending;
use std::io::{self, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;

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

/// Places that must be free: taken before the hooks are loaded, so that who is in the way is told of at once.
struct Places {
    tail: Option<tail::Server>,
    metrics: Option<(serve::Server, Option<WebConfig>)>,
}

impl Places {
    fn take(config: &Config) -> anyhow::Result<Self> {
        let tail = config.socket.as_deref();
        let tail = tail.map(|path| tail::Server::bind(path, &config.socket_group)).transpose()?;
        let web = config.web_config.as_deref().map(WebConfig::open).transpose()?;
        let metrics = config.listen.map(serve::Server::bind).transpose()?.map(|server| (server, web));
        Ok(Self { tail, metrics })
    }

    /// Serves what they are for; the task is that of the socket, whose file goes with it.
    fn open(
        self,
        gauge: &Gauge,
        hub: &Hub,
        metrics: &Arc<Metrics>,
    ) -> anyhow::Result<Option<JoinHandle<()>>> {
        let tail = self.tail.map(|server| {
            say(&server.notices);
            tokio::spawn(server.run(hello(gauge), hub.clone(), who_now()))
        });
        if let Some((server, web)) = self.metrics {
            let address = server.local_addr().context("the metrics' socket does not tell its address")?;
            let scheme = if web.as_ref().is_some_and(WebConfig::is_tls) { "https" } else { "http" };
            say(&[format!("metrics at {scheme}://{address}/metrics")]);
            let site = Site {
                metrics: Arc::clone(metrics),
                ready: Arc::new(AtomicBool::new(true)),
                web,
                limits: Limits::default(),
            };
            tokio::spawn(async move {
                if let Err(error) = server.run(site, pending()).await {
                    say(&[format!("metrics are no longer served: {error}")]);
                }
            });
        }
        Ok(tail)
    }
}

async fn serve(config: Config, load: Load<'_>) -> anyhow::Result<ExitCode> {
    let mut stop = Stop::install()?;
    let places = Places::take(&config)?;
    let sizes = Sizes { ports: config.table_size, ..Sizes::default() };
    let mut pipeline = Pipeline::start(config.backend, sizes)?;
    let mut announced = Vec::new();
    announce(pipeline.gauge.status(), &mut announced)?;
    let mut recorder = pipeline.record(config.record.as_deref(), &announced)?;
    let metrics = Metrics::new(&about(&pipeline.gauge));
    let hub = Hub::new();
    let sinks = Arc::new(Mutex::new(Sinks::start(&config)?));
    let known = Arc::new(Mutex::new(Known::default()));
    let watch = Watch::start(Sources {
        gauge: pipeline.gauge.clone(),
        known: Arc::clone(&known),
        metrics: Arc::clone(&metrics),
        lost: lost(&sinks, &hub, recorder.as_ref()),
        store_errors: store_errors(&sinks),
    })?;
    io::stderr().write_all(&announced)?;
    let tail = places.open(&pipeline.gauge, &hub, &metrics)?;
    let manager = Manager::new();
    notify::ready();
    let mut audience = Agent {
        sinks: Arc::clone(&sinks),
        hub: hub.clone(),
        metrics,
        manager,
        known,
        ledger: Ledger::default(),
    };
    let Pipeline { events, correlator, lookups, .. } = &mut pipeline;
    let end = ending(&mut stop, load, &config, &sinks);
    let conclusion = follow(events, correlator, lookups, &mut recorder, &mut audience, None, end).await?;
    notify::stopping();
    drop(watch);
    if let Some(tail) = tail {
        tail.abort();
        // Waited for, so that the file is gone before the process is; that it was aborted is no news.
        let _ = tail.await;
    }
    say(&lock(&sinks).end());
    let mut all = pipeline.losses(recorder.as_mut());
    all.extend(lock(&sinks).lost());
    all.push(("live_tail", hub.lost()));
    writeln!(io::stderr(), "{}", audience.ledger.summary().with_lost(all))?;
    anyhow::ensure!(conclusion != Conclusion::SourceEnded, "the kernel side stopped reporting");
    Ok(ExitCode::Done)
}

/// Whom the loop tells.
struct Agent {
    sinks: Arc<Mutex<Sinks>>,
    hub: Hub,
    metrics: Arc<Metrics>,
    manager: Manager,
    known: Arc<Mutex<Known>>,
    ledger: Ledger,
}

impl Audience for Agent {
    fn report(&mut self, report: Report) -> io::Result<Flow> {
        if !self.ledger.grow(report.conflict()) {
            self.ledger.open(report.conflict());
        }
        let told = Told::from(report);
        self.metrics.told(&told);
        lock(&self.sinks).tell(&told);
        self.hub.tell(&told);
        Ok(Flow::Continue)
    }

    fn turn(&mut self, stats: Stats) {
        *lock(&self.known) = Known { stats, summary: self.ledger.summary().clone() };
        self.manager.feed();
    }
}

/// Reads the configuration again on SIGHUP, until it is time to end.
async fn ending(stop: &mut Stop, load: Load<'_>, first: &Config, sinks: &Mutex<Sinks>) {
    let Ok(mut again) = signal(SignalKind::hangup()) else { return stop.wait().await };
    loop {
        tokio::select! {
            () = stop.wait() => return,
            _ = again.recv() => {
                notify::reloading();
                reload(load, first, sinks);
                notify::ready();
            }
        }
    }
}

/// A configuration that will not do changes nothing.
fn reload(load: Load<'_>, first: &Config, sinks: &Mutex<Sinks>) {
    let config = match load() {
        Ok(config) => config,
        Err(refused) => return say(&[format!("not reloaded, all stays as it was: {refused}")]),
    };
    let restart = first.needing_restart(&config);
    if !restart.is_empty() {
        say(&[format!("changed, and needs a restart to count: {}", restart.join(", "))]);
    }
    // What needs a restart is as it was.
    let config = Config { store: first.store.clone(), ..config };
    say(&lock(sinks).change(&config));
    say(&["the configuration was read again".to_owned()]);
}

fn lost(sinks: &Arc<Mutex<Sinks>>, hub: &Hub, recorder: Option<&Recorder>) -> health::Lost {
    let (sinks, hub, recorded) = (Arc::clone(sinks), hub.clone(), recorder.map(Recorder::losses));
    Box::new(move || {
        let mut all = lock(&sinks).lost();
        all.push(("live_tail", hub.lost()));
        all.extend(recorded.iter().map(|lost| ("events_unrecorded", lost.load(Ordering::Relaxed))));
        all
    })
}

fn store_errors(sinks: &Arc<Mutex<Sinks>>) -> Box<dyn Fn() -> u64 + Send> {
    let sinks = Arc::clone(sinks);
    Box::new(move || lock(&sinks).store_errors())
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

fn about(gauge: &Gauge) -> About {
    About {
        backend: gauge.status().backend.name().to_owned(),
        kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        revision: crate::probe::object::built_in_hash()[..12].to_owned(),
    }
}

fn who_now() -> Who {
    Arc::new(|queries| who::answer(queries, &Scope::All, true, &mut Live::new()))
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// To whoever reads the log. A log that takes no more is no reason to end.
fn say(lines: &[String]) {
    for line in lines {
        let _ = writeln!(io::stderr(), "portwatch: {}", text::printable(line));
    }
}
