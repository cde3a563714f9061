//! `outdial serve`, and the server inside `outdial demo`: the rooms, wired together.
//!
//! The store is opened first and closed last. HTTP and the engine know nothing of each other but a
//! `Notify`: a hint that there is something to do.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use clap::Args;
use outdial_core::settings::CallingRules;
use outdial_engine::{Drained, Engine, Ports};
use outdial_http::App;
use outdial_ports::{Clock, Entropy, Noted, Store, Watermark};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use crate::carriers;
use crate::clock::SystemClock;
use crate::commands::workspace;
use crate::config::{Config, Role};
use crate::courier::HttpCourier;
use crate::database::{self, Database};
use crate::entropy::OsEntropy;
use crate::files;
use crate::journal::FileJournal;
use crate::logging;
use crate::metered::Metered;
use crate::node;
use crate::state::NodeId;
use crate::term::{hint, say};
use crate::watched::{self, Duties};
use crate::watermark::FileWatermark;

/// How often it is looked whether the store has stopped for good.
const LOOK_AT_STORE_EVERY: Duration = Duration::from_millis(250);

/// How long the end of this node may take to be told.
const LEAVE_LIMIT: Duration = Duration::from_secs(5);

/// Flags of `outdial serve`.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Where to serve the API, host:port; port 0 takes a free one.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) listen: Option<String>,
    /// What this process does.
    #[arg(long, value_enum)]
    pub(crate) role: Option<Role>,
}

/// Serves until SIGTERM or SIGINT, then drains. A second signal ends it at once.
pub(crate) async fn run(config: &Config) -> Result<ExitCode> {
    // First of all, so that a signal that comes early is not lost.
    let mut signals = Signals::new()?;
    let database = database::open_serve(config).await?;
    let mut server = tokio::select! {
        started = Server::start(config, database.clone()) => started?,
        // It may wait for half a minute to be sure that it is the only one of its identity.
        () = signals.next() => return Ok(ExitCode::SUCCESS),
    };
    if config.server.role.serves_api() {
        greet_if_new(&*database.store(), server.node).await?;
    }
    say(format_args!("listening on {}", server.url()));
    let failure = tokio::select! {
        () = signals.next() => None,
        why = server.failed() => Some(why),
    };
    tokio::select! {
        drained = server.drain() => drained?,
        () = signals.next() => {
            hint("outdial: a second signal; the next start resolves what is still live");
            logging::flush();
            std::process::exit(130);
        }
    }
    failure.map_or(Ok(ExitCode::SUCCESS), Err)
}

/// A new database gets a workspace, and the person in front of it its key. Of several nodes that
/// find it so at once, the first.
async fn greet_if_new(store: &dyn Store, node: NodeId) -> Result<()> {
    if !node::is_first(&store.node_list().await?, node) || !store.workspace_list().await?.is_empty()
    {
        return Ok(());
    }
    let (created, key) = workspace::create(store, "Default", CallingRules::On).await?;
    say(format_args!(
        "This database is new. It has a workspace now; its API key is shown this once:\n\n\
         \x20 workspace  {}\n  user       {}\n  API key    {key}\n",
        created.workspace, created.user
    ));
    Ok(())
}

/// The running parts of a server.
pub(crate) struct Server {
    address: SocketAddr,
    /// Who it is among the nodes.
    node: NodeId,
    database: Database,
    watermark: Arc<FileWatermark>,
    /// Between two beats.
    beat: Duration,
    stop: watch::Sender<bool>,
    parts: JoinSet<Part>,
}

/// What a part of the server ended with.
enum Part {
    Http,
    Engine(Drained),
    Node,
}

impl Server {
    /// Starts what the role asks for on an open database.
    pub(crate) async fn start(config: &Config, database: Database) -> Result<Self> {
        files::allow_all();
        let listen = &config.server.listen;
        let listener = TcpListener::bind(listen)
            .await
            .with_context(|| format!("{listen} cannot be listened on (--listen takes another)"))?;
        let address = listener.local_addr()?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let store: Arc<dyn Store> = Arc::new(Metered::new(database.store(), clock.clone()));
        let url = format!("http://{address}");
        let mut monitoring = watched::monitoring(config, &store, &clock)?;
        let entropy: Arc<dyn Entropy> = Arc::new(OsEntropy);
        let watermark = Arc::new(database::watermark(config, &*store).await?);
        let node = watermark.node(&*entropy).context("which node this is cannot be kept")?;
        node::join(&*store, &*clock, &node::spec(config, node, &url)).await?;
        if config.server.role.dials() {
            warn_of_older_copy(&database, &*watermark).await?;
        }
        let (wake, told) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let every = Duration::from_millis(config.engine.beat_ms);
        let (stop, stopped) = watch::channel(false);
        let mut parts = JoinSet::new();
        if config.server.role.dials() {
            let carrier = carriers::open(config, &*store, &clock, &entropy).await?;
            let ports = Ports {
                store: store.clone(),
                carrier: Arc::new(carrier),
                clock: clock.clone(),
                entropy: entropy.clone(),
                watermark: watermark.clone(),
                journal: Arc::new(FileJournal::open(watermark.files())?),
            };
            let reach = config.webhooks.reach();
            let courier = HttpCourier::new(reach, config.webhooks.ca_file.clone(), clock.clone());
            let engine = Engine::new(config.engine.clone(), ports, wake.clone())
                .with_courier(Arc::new(courier), config.webhooks.sender())
                .telling(told.clone());
            monitoring.tasks = Some(Arc::new(Duties { node, board: engine.board() }));
            let stop = asked_to_stop(stopped.clone());
            parts.spawn(async { Part::Engine(engine.run(stop).await) });
        } else {
            let (store, clock) = (store.clone(), clock.clone());
            let stop = asked_to_stop(stopped.clone());
            parts.spawn(async move {
                outdial_engine::attend(store, clock, every, "its role is not to dial", stop).await;
                Part::Node
            });
        }
        let secret = store.secret_fetch().await?;
        // What stands there holds back the dispatch of this process, if it has one.
        let dials = config.server.role.dials();
        let marks = dials.then(|| watermark.clone() as Arc<dyn Watermark>);
        let http = config.http();
        let app = App::new(store.clone(), clock, entropy, marks, wake, secret, http);
        tokio::spawn(follow_events(app.clone(), told, stopped.clone()));
        // Nobody else sets it.
        let _set = app.monitoring.set(monitoring);
        let api = outdial_http::router(app.clone());
        let router =
            if config.server.role.serves_api() { api } else { api.layer(from_fn(health_only)) };
        let limit = Duration::from_millis(config.engine.drain_limit_ms);
        parts.spawn(serve(listener, router, app, stopped, limit));
        Ok(Self { address, node, database, watermark, beat: every, stop, parts })
    }

    /// Where its API is.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns only when a part has ended that nobody asked to end, or must not go on.
    async fn failed(&mut self) -> anyhow::Error {
        let ended = tokio::select! {
            ended = self.parts.join_next() => ended,
            () = stopped_for_good(&self.database, &self.watermark) => {
                return not_kept();
            }
        };
        match ended {
            Some(Ok(Part::Http)) => anyhow!("the HTTP server ended"),
            // Unasked, they end for one reason alone.
            Some(Ok(Part::Engine(_) | Part::Node)) => node::taken_over(),
            Some(Err(error)) => {
                anyhow::Error::new(error).context("a part of the server broke down")
            }
            None => anyhow!("nothing runs"),
        }
    }

    /// Takes no more requests and places no more calls; waits for those that are under way, for as
    /// long as the configuration says.
    pub(crate) async fn drain(mut self) -> Result<()> {
        self.stop.send_replace(true);
        let mut beats = JoinSet::new();
        while let Some(ended) = self.parts.join_next().await {
            let ended = ended.context("a part of the server broke down")?;
            if !matches!(ended, Part::Http) {
                // Requests that are under way are this node's, and nobody else's, to their end.
                let store = self.database.store();
                beats.spawn(beat_to_the_end(store, self.beat));
            }
            match ended {
                Part::Http | Part::Engine(Drained { still_live: 0 }) | Part::Node => {}
                Part::Engine(Drained { still_live }) => {
                    tracing::warn!(still_live, "calls were not over; the next start resolves them");
                }
            }
        }
        beats.shutdown().await;
        // The others need not wait until it is certain that this node is gone.
        match tokio::time::timeout(LEAVE_LIMIT, self.database.store().node_leave()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the other nodes were not told of the end"),
            Err(_) => tracing::warn!("the database does not answer: the others were not told"),
        }
        // It may have happened meanwhile, when nobody looked any more.
        match self.database.has_stopped() || self.watermark.has_stopped() {
            true => Err(not_kept()),
            false => Ok(()),
        }
    }
}

/// Says at the start, and not only when somebody is to be called, where nobody will be.
async fn warn_of_older_copy(database: &Database, watermark: &dyn Watermark) -> Result<()> {
    let store = &*database.store();
    for workspace in store.workspace_list().await?.into_iter().map(|ws| ws.id) {
        let noted = watermark.latest(workspace).await?;
        if database::is_recognised(store, noted).await? || watermark.is_accepted(workspace).await? {
            continue;
        }
        let why = match noted {
            Noted::Mark(mark) => format!(
                "the database is an older copy: it does not hold attempt {} of workspace \
                 {workspace}, which left here",
                mark.attempt
            ),
            _ => format!(
                "what was noted of calls of workspace {workspace} is gone, so nobody knows \
                 whether the database is an older copy"
            ),
        };
        let others = match (database, noted) {
            (Database::Postgres(..), Noted::Lost) => {
                "another node that dials from it is alive, or "
            }
            _ => "",
        };
        hint(format_args!(
            "outdial: {why}. Nobody is dialed there until {others}`outdial doctor --accept-restore`"
        ));
    }
    Ok(())
}

async fn beat_to_the_end(store: Arc<dyn Store>, every: Duration) {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let never = std::future::pending();
    outdial_engine::attend(store, clock, every, "it is about to stop", never).await;
}

/// Serves HTTP until it is asked to stop; requests under way may take at most `limit` then.
async fn serve(
    listener: TcpListener,
    router: Router,
    app: Arc<App>,
    stopped: watch::Receiver<bool>,
    limit: Duration,
) -> Part {
    let stop = asked_to_stop(stopped);
    let cut = outdial_http::serve(listener, router, app, stop, limit).await;
    if cut > 0 {
        tracing::warn!(cut, "requests were still under way at the end of the drain");
    }
    Part::Http
}

fn not_kept() -> anyhow::Error {
    anyhow!(
        "the disk failed to keep what was written: nothing more is taken in. What was acknowledged \
         is safe; look at the disk, then start again"
    )
}

/// Returns when the store, or the state file beside it, has stopped after a failed fsync.
async fn stopped_for_good(database: &Database, watermark: &FileWatermark) {
    while !database.has_stopped() && !watermark.has_stopped() {
        tokio::time::sleep(LOOK_AT_STORE_EVERY).await;
    }
}

/// Ends the streams of events at the stop; until then they hear of new ones at once.
async fn follow_events(app: Arc<App>, told: Arc<Notify>, stopped: watch::Receiver<bool>) {
    let asked = asked_to_stop(stopped);
    tokio::pin!(asked);
    loop {
        tokio::select! {
            () = &mut asked => return app.end_streams(),
            () = told.notified() => app.told.notify_waiters(),
        }
    }
}

async fn asked_to_stop(mut stopped: watch::Receiver<bool>) {
    // An error: the server was dropped, which asks for the same.
    let _dropped = stopped.wait_for(|stop| *stop).await;
}

/// A process that only dials tells how it is, and nothing else.
async fn health_only(request: Request, next: Next) -> Response {
    match request.uri().path() {
        "/healthz" | "/readyz" | "/metrics" | "/api/system/tasks" => next.run(request).await,
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Returns at the next of either.
    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
