//! Bans: who is shut out does not get in, and does not stay.

use std::sync::Arc;

use mqtt_access::bans::{Ban, BanRefused, Banned};
use tokio::time::Instant;

use crate::access::Identity;
use crate::broker::Broker;
use crate::clients::Order;
use crate::core::Core;

impl Broker {
    /// Shuts a client, a user, an address or a network out, for a time or for good, and disconnects whoever it is about
    /// with 0x98 (Administrative action). Returns how many connections that were. A ban of the same is replaced.
    ///
    /// Who is banned gets no further than the CONNECT, which is answered with 0x8A; from an address that is banned nothing
    /// is read at all. Sessions stay until they expire. The program's own clients are not banned. Bans are not stored: those
    /// that have to hold after a restart are given to the next broker.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use std::time::{Duration, Instant};
    /// use mqtt_broker::{Ban, Broker};
    ///
    /// let broker = Broker::builder().start().await.expect("nothing has to be bound");
    /// let eve = "user=eve".parse().expect("a user");
    /// let hour = Instant::now() + Duration::from_secs(3600);
    /// broker.ban(Ban::of(eve).until(hour).because("guesses passwords")).expect("there is room");
    /// broker.ban(Ban::of("address=192.0.2.0/24".parse().expect("a network"))).expect("there is room");
    /// assert_eq!(broker.bans().len(), 2);
    /// assert!(broker.lift_ban(&"user=eve".parse().expect("a user")));
    /// # }
    /// ```
    ///
    /// # Errors
    /// There are as many bans as there may be.
    pub fn ban(&self, ban: Ban) -> Result<usize, BanRefused> {
        let core = self.core();
        core.bans.add(ban, Instant::now().into_std())?;
        Ok(core.disconnect_banned())
    }

    /// Ends a ban, whoever set it. Whether there was one.
    pub fn lift_ban(&self, whom: &Banned) -> bool {
        self.core().bans.lift(whom)
    }

    /// All bans that hold now: those set here, those that whoever gave [`Bans`](mqtt_access::bans::Bans) to the
    /// [`Builder`](crate::Builder) has set, in no order.
    #[must_use]
    pub fn bans(&self) -> Vec<Ban> {
        self.core().bans.list(Instant::now().into_std())
    }
}

impl Core {
    /// Has every connection that is banned end. How many there are.
    fn disconnect_banned(self: &Arc<Self>) -> usize {
        let banned = self.clients.online().into_iter().filter(|handle| {
            let banned = handle.identity.as_ref().is_some_and(|identity| self.is_banned(identity));
            if banned {
                handle.order(Order::Recheck);
            }
            banned
        });
        banned.count()
    }

    /// Whether a client is shut out.
    pub(crate) fn is_banned(&self, client: &Identity) -> bool {
        let now = self.now();
        !client.privileged
            && (self.bans.forbid(&client.client_id, client.username.as_deref(), now)
                || client.address.is_some_and(|address| self.bans.shut_out(address.ip(), now)))
    }
}
