//! Plays an arrangement for real: at every bind() and listen() of it, what the kernel said and what the rule says.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use portwatch::rule::{self, Endpoint, Era, Local, Lookup, Table};
use rustix::io::Errno;
use rustix::net::{bind, listen, sockopt};

use super::fate;
use super::plan::{Fate, Plan, Planned, Recheck, Way};
use super::socket::{NETNS, Socket, local};
use super::world::{HOLDERS, World};

/// How many connections a listener of the prover lets wait.
const BACKLOG: i32 = 8;

/// A question that both were asked.
#[derive(Clone, Debug)]
pub(super) struct Comparison {
    pub(super) operation: &'static str,
    pub(super) binder: Endpoint,
    /// Who stood on the port, the oldest first.
    pub(super) holders: Vec<Met>,
    pub(super) kernel_refused: bool,
    pub(super) rule_refuses: bool,
    /// The kernel may have let the binder in without asking the rule.
    is_lenient: bool,
}

impl Comparison {
    pub(super) fn is_let_in_unasked(&self) -> bool {
        self.is_lenient && self.rule_refuses && !self.kernel_refused
    }

    pub(super) fn agrees(&self) -> bool {
        self.kernel_refused == self.rule_refuses || self.is_let_in_unasked()
    }
}

/// A socket that the binder found on the port.
#[derive(Clone, Copy, Debug)]
pub(super) struct Met {
    pub(super) fate: Fate,
    pub(super) endpoint: Endpoint,
    /// Where `sk_add_node_rcu` put it in the list of UDP sockets: IPv6 with SO_REUSEPORT goes to the end, others to the
    /// front.
    is_at_end: bool,
}

/// A socket that has come to the port, and what the rule sees of it: with a connection in its queue, two.
#[derive(Debug)]
struct Standing {
    plan: Planned,
    /// `None` once it is closed.
    socket: Option<Socket>,
    endpoints: Vec<Endpoint>,
}

/// An arrangement in the making.
#[derive(Debug)]
pub(super) struct Play<'a> {
    pub(super) world: &'a World,
    pub(super) port: u16,
    era: Era,
    is_lenient: bool,
    standing: Vec<Standing>,
    /// Other ends of connections: they stay until the end.
    pub(super) peers: Vec<Socket>,
    comparisons: Vec<Comparison>,
}

/// Plays `plan` on a port that nobody has.
pub(super) fn play(world: &World, plan: &Plan, port: u16, era: Era) -> Result<Vec<Comparison>> {
    let (standing, peers, comparisons) = (Vec::new(), Vec::new(), Vec::new());
    let mut play = Play { world, port, era, is_lenient: plan.is_lenient, standing, peers, comparisons };
    let mut is_in = false;
    for planned in &plan.sockets {
        is_in = play.bring(planned).with_context(|| format!("with {planned}"))?;
    }
    if let Some(recheck) = plan.recheck
        && is_in
    {
        play.recheck(recheck).context("with the listen() after it all")?;
    }
    Ok(play.comparisons)
}

impl Play<'_> {
    /// Lets one more socket come to the port; says whether it was let in.
    fn bring(&mut self, plan: &Planned) -> Result<bool> {
        let socket = open(plan)?;
        let is_chosen = matches!(plan.fate, Fate::Sender | Fate::Client(Way::Connect, _));
        if !is_chosen {
            let wanted = SocketAddr::new(plan.address, self.port);
            let answer = bind(&socket.fd, &wanted);
            if self.compare("bind", wish(plan, self.port), None, answer)? {
                return Ok(false);
            }
        }
        if matches!(plan.fate, Fate::Listening | Fate::Shut | Fate::Accepted | Fate::Queued)
            && self.listen(&socket, None)?
        {
            return Ok(false);
        }
        let (socket, endpoints) = fate::fulfil(self, plan, socket)?;
        self.standing.push(Standing { plan: *plan, socket, endpoints });
        Ok(true)
    }

    /// Which of the servers is still free for a client.
    pub(super) fn place(&self) -> usize {
        self.standing.len() % HOLDERS
    }

    /// listen() by a socket that has the port, perhaps one of those that stand; says whether it was refused.
    fn listen(&mut self, socket: &Socket, place: Option<usize>) -> Result<bool> {
        let answer = listen(&socket.fd, BACKLOG);
        self.compare("listen", socket.endpoint()?, place, answer)
    }

    /// Asks the rule what the kernel was asked, and keeps both answers. `own` is the place of the binder itself.
    fn compare(
        &mut self,
        operation: &'static str,
        binder: Endpoint,
        own: Option<usize>,
        answer: Result<(), Errno>,
    ) -> Result<bool> {
        let kernel_refused = match answer {
            Ok(()) => false,
            Err(Errno::ADDRINUSE) => true,
            Err(errno) => return Err(errno).context(format!("{operation} failed for another reason")),
        };
        let others = self.standing.iter().enumerate().filter(|(place, _)| Some(*place) != own);
        let holders: Vec<_> = others
            .flat_map(|(_, Standing { plan, endpoints, .. })| {
                let is_at_end = plan.address.is_ipv6() && plan.early.port;
                endpoints.iter().map(move |&endpoint| Met { fate: plan.fate, endpoint, is_at_end })
            })
            .collect();
        let is_lenient = self.is_lenient || hides_wildcards(&binder, &holders, self.era);
        let rule_refuses = refuses(&binder, &holders, self.era, is_lenient);
        self.comparisons.push(Comparison {
            operation,
            binder,
            holders,
            kernel_refused,
            rule_refuses,
            is_lenient,
        });
        Ok(kernel_refused)
    }

    /// Everybody could bind(); listen() asks again, and meanwhile the others may have begun to listen.
    fn recheck(&mut self, recheck: Recheck) -> Result<()> {
        let last = self.standing.len() - 1;
        if let Some(socket) = &self.standing[last].socket {
            // The cache would let in a socket whose SO_REUSEPORT it knows.
            sockopt::set_socket_reuseport(&socket.fd, false)?;
            sockopt::set_socket_reuseaddr(&socket.fd, recheck.reuse)?;
            self.standing[last].endpoints = vec![socket.endpoint()?];
        }
        let first = if recheck.others_first { 0 } else { last };
        for place in first..=last {
            self.listen_late(place)?;
        }
        Ok(())
    }

    fn listen_late(&mut self, place: usize) -> Result<()> {
        let standing = &mut self.standing[place];
        let is_cached = standing.endpoints.iter().any(|endpoint| endpoint.reuseport);
        if standing.plan.table != Table::Tcp || standing.plan.fate != Fate::Bound || is_cached {
            return Ok(());
        }
        let Some(socket) = standing.socket.take() else { return Ok(()) };
        self.listen(&socket, Some(place))?;
        self.standing[place].endpoints = vec![socket.endpoint()?];
        self.standing[place].socket = Some(socket);
        Ok(())
    }
}

/// What the kernel must answer if the rule is right. TCP looks at everybody. UDP goes through its list and is content
/// with the first one that shares by SO_REUSEPORT (`udp_lib_lport_inuse`); in a crowd that list may be another one, so
/// that nobody knows who comes first (5.10, seed 1, arrangement 15042).
fn refuses(binder: &Endpoint, holders: &[Met], era: Era, is_lenient: bool) -> bool {
    let conflicts = |met: &Met| rule::conflicts(binder, &met.endpoint, era);
    if binder.table == Table::Tcp || is_lenient {
        return holders.iter().any(conflicts);
    }
    let alone = Endpoint { reuseport: false, ..*binder };
    let front = holders.iter().rev().filter(|met| !met.is_at_end);
    let end = holders.iter().filter(|met| met.is_at_end);
    front.chain(end).find(|met| rule::conflicts(&alone, &met.endpoint, era)).is_some_and(conflicts)
}

/// In 6.1 a 0.0.0.0 that comes after a `::ffff:0.0.0.0` goes to where that stands in the table by address, and is lost to
/// mapped addresses with it (seed 1, arrangement 10105). It depends on who came first, so it is not in the rule.
fn hides_wildcards(binder: &Endpoint, holders: &[Met], era: Era) -> bool {
    let mapped = |endpoint: &Endpoint| match endpoint.local {
        Local::V6 { address, .. } => address.to_ipv4_mapped(),
        Local::V4(_) => None,
    };
    era.lookup == Lookup::ByAddressAtFirst
        && mapped(binder).is_some_and(|v4| !v4.is_unspecified())
        && holders.iter().any(|met| mapped(&met.endpoint).is_some_and(|v4| v4.is_unspecified()))
}

fn open(plan: &Planned) -> Result<Socket> {
    let socket = Socket::open(plan.table, plan.address, plan.uids[0])?;
    if plan.address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket.fd, plan.only)?;
    }
    sockopt::set_socket_reuseaddr(&socket.fd, plan.early.address)?;
    sockopt::set_socket_reuseport(&socket.fd, plan.early.port)?;
    if plan.grouped {
        socket.join_group()?;
    }
    socket.set_device(plan.device.index())?;
    Ok(socket)
}

/// The rule's view of a socket that has no port yet.
fn wish(plan: &Planned, port: u16) -> Endpoint {
    Endpoint {
        netns: NETNS,
        port,
        local: local(plan.address, plan.only),
        device: plan.device.index().cast_unsigned(),
        table: plan.table,
        reuse: plan.early.address,
        reuseport: plan.early.port,
        grouped: plan.grouped,
        uid: plan.uids[0],
        state: portwatch::model::State::Close,
        orphan: false,
    }
}
