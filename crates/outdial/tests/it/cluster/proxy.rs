//! What stands between a node and its database, and does what networks do: passes, holds back,
//! delays, forgets, cuts; and loses the one message that says whether a commit was done.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::wire::{Framer, Message};

/// How bytes go through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    /// At once.
    Pass,
    /// Each piece of a client's waits so long.
    Late(Duration),
    /// Not, as long as this lasts; then what was held comes through, as TCP would send it again.
    Held,
}

/// What is so now. A connection that began under an earlier `life` is cut; one that began under an
/// earlier `memory` is forgotten: it stays open, and nothing comes through any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    flow: Flow,
    life: u64,
    memory: u64,
}

/// Which message of a commit is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lose {
    /// The client's COMMIT: the server never hears it.
    Wish,
    /// The server's answer: it has committed.
    Answer,
}

/// The next commits that are lost, with their connections.
#[derive(Debug)]
struct Trap {
    /// A word in the SQL of the transactions it is about.
    word: String,
    lose: Lose,
    left: u64,
}

/// The proxy; gone when dropped.
pub(crate) struct Proxy {
    port: u16,
    state: watch::Sender<State>,
    shared: Arc<Shared>,
    _runtime: Runtime,
}

struct Shared {
    to: SocketAddr,
    trap: Mutex<Option<Trap>>,
    caught: AtomicU64,
    accepted: AtomicU64,
}

impl Proxy {
    /// In front of a port of this machine.
    pub(crate) fn to(port: u16) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = { runtime }.worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let own = listener.local_addr().unwrap().port();
        let (state, watched) = watch::channel(State { flow: Flow::Pass, life: 0, memory: 0 });
        let shared = Arc::new(Shared {
            to: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            trap: Mutex::new(None),
            caught: AtomicU64::new(0),
            accepted: AtomicU64::new(0),
        });
        runtime.spawn(accept(listener, watched, Arc::clone(&shared)));
        Self { port: own, state, shared, _runtime: runtime }
    }

    /// Where it listens.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Everything passes, what was held first.
    pub(crate) fn pass(&self) {
        self.state.send_modify(|s| s.flow = Flow::Pass);
    }

    /// Nothing passes, nothing is refused: connections are taken and say nothing. Until `pass`.
    pub(crate) fn hold(&self) {
        self.state.send_modify(|s| s.flow = Flow::Held);
    }

    /// Everything a client says waits so long.
    pub(crate) fn delay(&self, by: Duration) {
        self.state.send_modify(|s| s.flow = Flow::Late(by));
    }

    /// Connections that are there stay open for ever and carry nothing any more; others are made as
    /// ever.
    pub(crate) fn forget(&self) {
        self.state.send_modify(|s| s.memory += 1);
    }

    /// Connections that are there end at once; others are made as ever.
    pub(crate) fn cut(&self) {
        self.state.send_modify(|s| s.life += 1);
    }

    /// Loses the next `count` commits of transactions in whose SQL `word` stands.
    pub(crate) fn lose(&self, lose: Lose, word: &str, count: u64) {
        let trap = Trap { word: word.to_owned(), lose, left: count };
        *self.shared.trap.lock().unwrap() = Some(trap);
    }

    /// How many commits were lost so far.
    pub(crate) fn lost(&self) -> u64 {
        self.shared.caught.load(Ordering::SeqCst)
    }

    /// How many connections were taken so far.
    pub(crate) fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::SeqCst)
    }
}

async fn accept(listener: TcpListener, state: watch::Receiver<State>, shared: Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        shared.accepted.fetch_add(1, Ordering::SeqCst);
        tokio::spawn(connection(client, state.clone(), Arc::clone(&shared)));
    }
}

async fn connection(client: TcpStream, mut state: watch::Receiver<State>, shared: Arc<Shared>) {
    let born = *state.borrow();
    // Who is held back is held back from the first byte on.
    if !may_pass(&mut state, born).await {
        return;
    }
    let Ok(server) = TcpStream::connect(shared.to).await else { return };
    let _latency = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let watched = Arc::new(Mutex::new(Transaction::default()));
    let up = Half { from: from_client, to: to_server, state: state.clone(), born };
    let down = Half { from: from_server, to: to_client, state, born };
    let (asks, answers) = (Arc::clone(&watched), watched);
    // The end of either is the end of both.
    tokio::select! {
        () = up.run(Framer::client(), |message| shared.asked(&asks, message)) => {}
        () = down.run(Framer::server(), |message| shared.answered(&answers, message)) => {}
    }
}

/// What is known of the transaction that a connection is in.
#[derive(Debug, Default)]
struct Transaction {
    sql: String,
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Passes,
    /// It is lost, and the connection with it.
    Lost,
}

impl Shared {
    fn asked(&self, transaction: &Mutex<Transaction>, message: &Message) -> Fate {
        let Some(sql) = message.sql() else { return Fate::Passes };
        let mut transaction = transaction.lock().unwrap();
        transaction.sql.push_str(&sql);
        transaction.sql.push('\n');
        if message.asks_to_commit() && self.catches(Lose::Wish, &transaction) {
            return Fate::Lost;
        }
        Fate::Passes
    }

    fn answered(&self, transaction: &Mutex<Transaction>, message: &Message) -> Fate {
        let mut transaction = transaction.lock().unwrap();
        if message.says_committed() && self.catches(Lose::Answer, &transaction) {
            return Fate::Lost;
        }
        if message.says_idle() {
            transaction.sql.clear();
        }
        Fate::Passes
    }

    fn catches(&self, lose: Lose, transaction: &Transaction) -> bool {
        let mut trap = self.trap.lock().unwrap();
        let Some(set) = trap.as_mut() else { return false };
        if set.lose != lose || set.left == 0 || !transaction.sql.contains(&set.word) {
            return false;
        }
        set.left -= 1;
        self.caught.fetch_add(1, Ordering::SeqCst);
        true
    }
}

/// One direction of a connection.
struct Half {
    from: OwnedReadHalf,
    to: OwnedWriteHalf,
    state: watch::Receiver<State>,
    born: State,
}

impl Half {
    async fn run(mut self, mut framer: Framer, judge: impl Fn(&Message) -> Fate) {
        let mut piece = vec![0; 64 * 1024];
        loop {
            let mut state = self.state.clone();
            let read = tokio::select! {
                read = self.from.read(&mut piece) => read,
                () = cut(&mut state, self.born) => return,
            };
            let length = match read {
                Ok(length) if length > 0 => length,
                // Of a connection that is forgotten, the other side never hears that it ended.
                _ => {
                    may_pass(&mut self.state, self.born).await;
                    return;
                }
            };
            let mut state = self.state.clone();
            let may = tokio::select! {
                may = may_pass(&mut self.state, self.born) => may,
                () = cut(&mut state, self.born) => false,
            };
            if !may {
                return;
            }
            for message in framer.feed(&piece[..length]) {
                if judge(&message) == Fate::Lost
                    || self.to.write_all(message.bytes()).await.is_err()
                {
                    return;
                }
            }
        }
    }
}

/// Waits until bytes may go on; false when the connection is cut.
async fn may_pass(state: &mut watch::Receiver<State>, born: State) -> bool {
    let now = *state.borrow();
    if let Flow::Late(by) = now.flow {
        // tidy: sleeps because slowness is the fault
        tokio::time::sleep(by).await;
    }
    let passes =
        |s: &State| s.life != born.life || (s.memory == born.memory && s.flow != Flow::Held);
    state.wait_for(passes).await.is_ok_and(|s| s.life == born.life)
}

async fn cut(state: &mut watch::Receiver<State>, born: State) {
    let _dropped = state.wait_for(|s| s.life != born.life).await;
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    /// A proxy to a server that sends back what it gets but a client's first message, of eight
    /// bytes; a client of it.
    fn echo() -> (Proxy, impl Fn() -> TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let proxy = Proxy::to(listener.local_addr().unwrap().port());
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                std::thread::spawn(move || {
                    let mut bytes = [0; 64];
                    stream.read_exact(&mut bytes[..8]).unwrap();
                    while let Ok(n @ 1..) = stream.read(&mut bytes) {
                        stream.write_all(&bytes[..n]).unwrap();
                    }
                });
            }
        });
        let port = proxy.port();
        let connect = move || {
            let client = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
            client.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
            client
        };
        (proxy, connect)
    }

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        [&[kind], &length[..], body].concat()
    }

    /// What comes back of a message: all of it, the end of the connection, or nothing.
    fn say(client: &mut TcpStream, bytes: &[u8]) -> Option<usize> {
        client.write_all(bytes).unwrap();
        let mut back = vec![0; bytes.len()];
        match client.read_exact(&mut back) {
            Ok(()) => Some(back.len()),
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => None,
            Err(_) => Some(0),
        }
    }

    /// A client's first message has no type.
    fn open(client: &mut TcpStream) {
        client.write_all(&[0, 0, 0, 8, 0, 3, 0, 0]).unwrap();
        let sync = message(b'S', b"");
        assert_eq!(say(client, &sync), Some(sync.len()));
    }

    #[test]
    fn what_is_held_comes_through_later_and_what_is_forgotten_never() {
        let (proxy, connect) = echo();
        let (mut held, word) = (connect(), message(b'Q', b"SELECT\0"));
        open(&mut held);
        proxy.hold();
        assert_eq!(say(&mut held, &word), None);
        proxy.pass();
        let mut back = vec![0; word.len()];
        held.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        held.read_exact(&mut back).unwrap();
        assert_eq!(back, word);
        held.set_read_timeout(Some(Duration::from_millis(300))).unwrap();

        proxy.forget();
        assert_eq!(say(&mut held, &word), None);
        open(&mut connect());
        proxy.cut();
        assert_eq!(say(&mut held, &word), Some(0), "it has ended");
        assert_eq!(proxy.accepted(), 2);
    }

    #[test]
    fn a_commit_of_the_named_transaction_is_lost_with_its_connection() {
        let (proxy, connect) = echo();
        let (begin, commit) = (message(b'Q', b"INSERT INTO x\0"), message(b'Q', b"COMMIT\0"));
        let mut client = connect();
        open(&mut client);
        proxy.lose(Lose::Wish, "INTO y", 1);
        assert_eq!(say(&mut client, &commit), Some(commit.len()));
        proxy.lose(Lose::Wish, "INTO x", 1);
        assert_eq!(say(&mut client, &begin), Some(begin.len()));
        assert_eq!(say(&mut client, &commit), Some(0));
        assert_eq!(proxy.lost(), 1);

        proxy.lose(Lose::Answer, "INTO x", 1);
        let (mut client, done) = (connect(), message(b'C', b"COMMIT\0"));
        open(&mut client);
        assert_eq!(say(&mut client, &done), Some(done.len()), "of no such transaction");
        assert_eq!(say(&mut client, &begin), Some(begin.len()));
        assert_eq!(say(&mut client, &done), Some(0));
        assert_eq!(proxy.lost(), 2);
    }
}
