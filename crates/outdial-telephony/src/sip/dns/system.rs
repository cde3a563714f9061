//! DNS as the machine is set up, by `hickory-resolver`.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::LookupIpStrategy;
use hickory_resolver::net::NetError;
use hickory_resolver::proto::rr::{RData, Record};

use super::{Found, Lookup, Srv};

/// One try of one question; there are two.
const TRY: Duration = Duration::from_millis(1_400);

/// Through the machine's own servers, with its hosts file.
pub(super) fn lookup() -> Arc<dyn Lookup> {
    let made = TokioResolver::builder_tokio().and_then(|mut builder| {
        let options = builder.options_mut();
        options.timeout = TRY;
        options.attempts = 2;
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        // What was found is remembered by who asks.
        options.cache_size = 0;
        builder.build()
    });
    match made {
        Ok(resolver) => Arc::new(System(resolver)),
        Err(error) => Arc::new(Absent(error.to_string())),
    }
}

struct System(TokioResolver);

#[async_trait]
impl Lookup for System {
    async fn srv(&self, name: &str) -> Result<Found<Srv>, String> {
        let answer = self.0.srv_lookup(complete(name)).await;
        let records = match &answer {
            Ok(lookup) => lookup.answers(),
            Err(error) => none(error)?,
        };
        let read = |record: &Record| match &record.data {
            RData::SRV(srv) => {
                let target = srv.target.to_ascii();
                let bare = target.strip_suffix('.').filter(|bare| !bare.is_empty());
                let target = bare.unwrap_or(&target).to_owned();
                let (priority, weight, port) = (srv.priority, srv.weight, srv.port);
                Some(Srv { priority, weight, port, target })
            }
            _ => None,
        };
        Ok(Found { records: records.iter().filter_map(read).collect(), ttl: ttl(records) })
    }

    async fn addresses(&self, name: &str) -> Result<Found<IpAddr>, String> {
        let answer = self.0.lookup_ip(complete(name)).await;
        let records = match &answer {
            Ok(lookup) => lookup.as_lookup().answers(),
            Err(error) => none(error)?,
        };
        let ips = records.iter().filter_map(|record| record.data.ip_addr());
        let mut ips: Vec<_> = ips.collect();
        ips.sort_by_key(IpAddr::is_ipv6);
        Ok(Found { records: ips, ttl: ttl(records) })
    }
}

/// A name with dots is whole: the machine's own domains are not tried on it.
fn complete(name: &str) -> String {
    if name.contains('.') && !name.ends_with('.') { format!("{name}.") } else { name.to_owned() }
}

/// That there are no records is an answer; anything else is none.
fn none(error: &NetError) -> Result<&'static [Record], String> {
    if error.is_no_records_found() || error.is_nx_domain() {
        Ok(&[])
    } else {
        Err(error.to_string())
    }
}

fn ttl(records: &[Record]) -> Duration {
    let shortest = records.iter().map(|record| record.ttl).min();
    Duration::from_secs(u64::from(shortest.unwrap_or_default()))
}

/// The machine does not say whom to ask.
struct Absent(String);

#[async_trait]
impl Lookup for Absent {
    async fn srv(&self, _: &str) -> Result<Found<Srv>, String> {
        Err(self.0.clone())
    }

    async fn addresses(&self, _: &str) -> Result<Found<IpAddr>, String> {
        Err(self.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use hickory_resolver::config::{NameServerConfig, ResolverConfig};
    use hickory_resolver::net::runtime::TokioRuntimeProvider;
    use hickory_resolver::proto::op::{Message, OpCode, ResponseCode};
    use hickory_resolver::proto::rr::rdata::{A, AAAA, SRV};
    use hickory_resolver::proto::rr::{Name, RecordType};
    use tokio::net::UdpSocket;

    use super::*;

    /// Answers what it knows; `broken.test` it does not want to.
    async fn serve(socket: UdpSocket) {
        let mut buffer = [0; 1_500];
        loop {
            let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
            let asked = Message::from_vec(&buffer[..length]).unwrap();
            let query = asked.queries[0].clone();
            let mut answer = Message::response(asked.metadata.id, OpCode::Query);
            answer.add_query(query.clone());
            let name = query.name().to_ascii().to_lowercase();
            let ten = [10_u8, 0, 0];
            let records: Vec<RData> = match (name.as_str(), query.query_type()) {
                ("_sip._udp.carrier.test.", RecordType::SRV) => {
                    let target = Name::from_ascii("gw.carrier.test.").unwrap();
                    vec![RData::SRV(SRV::new(10, 5, 5070, target))]
                }
                ("_sip._tcp.carrier.test.", RecordType::SRV) => {
                    vec![RData::SRV(SRV::new(0, 0, 0, Name::root()))]
                }
                ("gw.carrier.test.", RecordType::A) => {
                    vec![RData::A(A::new(ten[0], 0, 0, 1)), RData::A(A::new(ten[0], 0, 0, 2))]
                }
                ("gw.carrier.test.", RecordType::AAAA) => {
                    vec![RData::AAAA(AAAA::new(0xfd00, 0, 0, 0, 0, 0, 0, 1))]
                }
                ("broken.test.", _) => {
                    answer.metadata.response_code = ResponseCode::ServFail;
                    vec![]
                }
                _ => {
                    answer.metadata.response_code = ResponseCode::NXDomain;
                    vec![]
                }
            };
            for data in records {
                answer.add_answer(Record::from_rdata(query.name().clone(), 77, data));
            }
            socket.send_to(&answer.to_vec().unwrap(), from).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_real_question_gets_a_real_answer() {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let server_at = socket.local_addr().unwrap();
        let server = tokio::spawn(serve(socket));
        let mut server_config = NameServerConfig::udp(server_at.ip());
        server_config.connections[0].port = server_at.port();
        let config = ResolverConfig::from_parts(None, vec![], vec![server_config]);
        let mut builder =
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        builder.options_mut().cache_size = 0;
        builder.options_mut().ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        let system = System(builder.build().unwrap());

        let ttl = Duration::from_secs(77);
        let target = "gw.carrier.test".to_owned();
        let srv = Srv { priority: 10, weight: 5, port: 5070, target };
        let found = system.srv("_sip._udp.carrier.test").await;
        assert_eq!(found, Ok(Found { records: vec![srv], ttl }));
        let not_offered = system.srv("_sip._tcp.carrier.test").await.unwrap();
        assert_eq!(not_offered.records[0].target, ".");
        let found = system.addresses("gw.carrier.test").await.unwrap();
        let ips: Vec<_> = found.records.iter().map(ToString::to_string).collect();
        assert_eq!(ips.len(), 3);
        assert_eq!((ips[2].as_str(), found.ttl), ("fd00::1", ttl));
        assert_eq!(system.srv("_sip._udp.other.test").await.unwrap().records, []);
        assert!(system.addresses("other.test").await.unwrap().records.is_empty());
        assert!(system.addresses("broken.test").await.is_err());
        server.abort();
    }
}
