//! A PostgreSQL for tests: one server of the operating system's package for each test program, with
//! a database for whoever asks, and PgBouncer before it.
//!
//! It keeps nothing (no fsync): what survives a crash is not tested on it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test support")]
#![allow(clippy::missing_panics_doc, reason = "panicking is how it fails")]

use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use tokio_postgres::{Client, NoTls};

/// Where Debian and its kin put the programs of each version.
const VERSIONS: &str = "/usr/lib/postgresql";
/// Where daemons are, which is on the path of root alone.
const DAEMONS: &str = "/usr/sbin";
/// The role that owns everything; it listens on the loopback alone, and asks for no password.
const ROLE: &str = "outdial";
/// How often it is looked whether a server is there, and how long between.
const LOOKS: (u32, Duration) = (600, Duration::from_millis(50));

/// Runs a program until whoever started it is gone, however that ended, and leaves nothing behind.
/// The one signal ends PostgreSQL at once, the other PgBouncer.
const KEEPER: &str = r#"dir="$1"; shift; "$@" </dev/null & cat >/dev/null; kill -QUIT $!
kill -TERM $!; wait
[ -z "$dir" ] || rm -rf "$dir""#;

/// A server.
pub(crate) struct Server {
    folder: PathBuf,
    programs: PathBuf,
    user: Option<(u32, u32)>,
    port: u16,
    databases: AtomicU64,
    installation: OnceLock<String>,
    pooler: Mutex<Option<Pooler>>,
    /// Closed when this process ends, and with it the server.
    _keeper: (Child, ChildStdin),
}

struct Pooler {
    port: u16,
    _keeper: (Child, ChildStdin),
}

impl Server {
    /// The one of this process.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Server> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("outdial-pg-").tempdir().unwrap().keep();
        let user = owner_of_servers();
        if let Some((uid, gid)) = user {
            chown(&folder, Some(uid), Some(gid)).unwrap();
        }
        let (programs, port) = (newest_programs(), free_port());
        let mut initdb = as_user(user, programs.join("initdb").as_path());
        initdb.current_dir(&folder).arg("--pgdata").arg(folder.join("data"));
        initdb.args(["--username", ROLE, "--auth", "trust", "--encoding", "UTF8"]);
        initdb.args(["--locale", "C.UTF-8", "--no-sync", "--no-instructions"]);
        let made = initdb.output().unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        certificate(&folder, user);

        let mut server = kept(user, Some(&folder), &programs.join("postgres"));
        server.arg("-D").arg(folder.join("data")).arg("-k").arg(&folder);
        server.args(["-h", "127.0.0.1", "-p", &port.to_string()]);
        for setting in [
            "fsync=off",
            "synchronous_commit=off",
            "full_page_writes=off",
            "max_connections=400",
            "shared_buffers=64MB",
            "ssl=on",
            "ssl_cert_file=../server.crt",
            "ssl_key_file=../server.key",
        ] {
            server.args(["-c", setting]);
        }
        let log = fs::File::create(folder.join("postgres.log")).unwrap();
        let keeper = started(server.stderr(log));
        let server = Self {
            folder,
            programs,
            user,
            port,
            databases: AtomicU64::default(),
            installation: OnceLock::new(),
            pooler: Mutex::default(),
            _keeper: keeper,
        };
        server.wait_for(port);
        server
    }

    /// A fresh database; its URL.
    pub(crate) fn database(&self) -> String {
        self.database_like("template1")
    }

    /// A database with an empty installation, which `make` makes of an empty database once.
    pub(crate) fn installation(&self, make: impl FnOnce(&str)) -> String {
        let template = self.installation.get_or_init(|| {
            let url = self.database();
            make(&url);
            url
        });
        self.database_like(name_of(template))
    }

    fn database_like(&self, template: &str) -> String {
        let name = format!("t{}", self.databases.fetch_add(1, Ordering::SeqCst));
        self.psql("postgres", &format!("CREATE DATABASE {name} TEMPLATE {template}"));
        self.url(&name)
    }

    /// The URL of a database.
    pub(crate) fn url(&self, database: &str) -> String {
        url(self.port, database)
    }

    /// The same database through PgBouncer in transaction mode, which is started with the first.
    pub(crate) fn pooled(&self, direct: &str) -> String {
        let mut pooler = self.pooler.lock().unwrap();
        let port = pooler.get_or_insert_with(|| self.start_pooler()).port;
        url(port, name_of(direct))
    }

    /// The authority that signed the server's certificate, which is for `localhost`.
    pub(crate) fn authority(&self) -> PathBuf {
        self.folder.join("ca.crt")
    }

    /// Its port on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Lets a script run on a database; what it prints, columns parted by `|`.
    pub(crate) fn psql(&self, database: &str, script: &str) -> String {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", script]);
        let done = psql.args(["-d", &self.url(database)]).output().unwrap();
        assert!(done.status.success(), "{script}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).trim_end().to_owned()
    }

    /// A plain connection to a database, beside the store.
    pub(crate) async fn plain(&self, url: &str) -> Client {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    fn start_pooler(&self) -> Pooler {
        let port = free_port();
        let file = self.folder.join("pgbouncer.ini");
        let text = format!(
            "[databases]\n* = host=127.0.0.1 port={} user={ROLE}\n[pgbouncer]\n\
             listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n\
             pool_mode = transaction\nmax_client_conn = 1000\ndefault_pool_size = 10\n\
             logfile = {}\nlog_connections = 0\nlog_disconnections = 0\n",
            self.port,
            self.folder.join("pgbouncer.log").display(),
        );
        fs::write(&file, text).unwrap();
        let program = Path::new(DAEMONS).join("pgbouncer");
        assert!(program.exists(), "no {}: install pgbouncer", program.display());
        let mut pooler = kept(self.user, None, &program);
        let keeper = started(pooler.arg("-q").arg(&file).stderr(Stdio::null()));
        self.wait_for(port);
        Pooler { port, _keeper: keeper }
    }

    fn wait_for(&self, port: u16) {
        let mut ready = Command::new(self.programs.join("pg_isready"));
        ready.args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()]);
        for _ in 0..LOOKS.0 {
            if ready.status().unwrap().success() {
                return;
            }
            pause();
        }
        let log = fs::read_to_string(self.folder.join("postgres.log")).unwrap_or_default();
        panic!("no server at port {port}: {log}");
    }
}

fn url(port: u16, database: &str) -> String {
    format!("postgres://{ROLE}@127.0.0.1:{port}/{database}?sslmode=disable")
}

/// The database of a URL.
pub(crate) fn name_of(url: &str) -> &str {
    url.rsplit_once('/').and_then(|(_, database)| database.split('?').next()).unwrap()
}

/// A certificate of the server, and of the authority that signed it.
fn certificate(folder: &Path, user: Option<(u32, u32)>) {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&key).unwrap();
    let issuer = Issuer::new(params, key);
    let own = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let cert = params.signed_by(&own, &issuer).unwrap();
    for (name, text) in [
        ("ca.crt", authority.pem()),
        ("server.crt", cert.pem()),
        ("server.key", own.serialize_pem()),
    ] {
        let path = folder.join(name);
        let mut file = fs::File::options();
        let mut file = file.write(true).create_new(true).mode(0o600).open(&path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        if let Some((uid, gid)) = user {
            chown(&path, Some(uid), Some(gid)).unwrap();
        }
    }
}

/// As the user that servers run as, where we are root: they refuse to be root's.
fn as_user(user: Option<(u32, u32)>, program: &Path) -> Command {
    let Some((uid, gid)) = user else { return Command::new(program) };
    let mut command = Command::new("setpriv");
    command.args(["--reuid", &uid.to_string(), "--regid", &gid.to_string(), "--clear-groups"]);
    command.arg(program);
    command
}

/// A program that ends with us, and the folder that goes with it.
fn kept(user: Option<(u32, u32)>, folder: Option<&Path>, program: &Path) -> Command {
    let mut command = as_user(user, Path::new("/bin/sh"));
    command.args(["-c", KEEPER, "keeper"]).arg(folder.unwrap_or(Path::new(""))).arg(program);
    command
}

fn started(command: &mut Command) -> (Child, ChildStdin) {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let stdin = child.stdin.take().unwrap();
    (child, stdin)
}

/// The directory of the newest version that is installed.
fn newest_programs() -> PathBuf {
    let versions = fs::read_dir(VERSIONS).into_iter().flatten().flatten().map(|e| e.path());
    let number = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    let newest = versions.filter(|path| path.join("bin/postgres").exists()).max_by_key(number);
    newest.unwrap_or_else(|| panic!("no PostgreSQL in {VERSIONS}: install it")).join("bin")
}

/// Where we are root: user and group of the account that the package made.
fn owner_of_servers() -> Option<(u32, u32)> {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return None;
    }
    let accounts = fs::read_to_string("/etc/passwd").unwrap();
    let mut fields = accounts.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let found = fields.find(|f| f[0] == "postgres").expect("the package makes the account");
    Some((found[2].parse().unwrap(), found[3].parse().unwrap()))
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err(), "somebody was quicker");
    port
}

#[expect(clippy::disallowed_methods, reason = "a real server starts in real time")]
fn pause() {
    std::thread::sleep(LOOKS.1);
}
