//! The clients of a thread, by number.

use mio::Token;

use super::client::Client;

/// A place, used by one client after the other.
#[derive(Debug)]
struct Slot {
    /// Rises with each client: an event of the one before is not taken for one of this one.
    generation: u32,
    client: Option<Client>,
}

#[derive(Debug, Default)]
pub(super) struct Clients {
    slots: Vec<Slot>,
    free: Vec<u32>,
    count: usize,
}

impl Clients {
    /// Returns a number that nobody has; nothing stands there until [`Clients::put`].
    pub fn reserve(&mut self) -> u32 {
        self.count += 1;
        if let Some(key) = self.free.pop() {
            return key;
        }
        let key = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        self.slots.push(Slot { generation: 0, client: None });
        key
    }

    /// Gives a number back for good.
    pub fn release(&mut self, key: u32) {
        if let Some(slot) = self.slots.get_mut(at(key)) {
            slot.generation = slot.generation.wrapping_add(1);
            slot.client = None;
            self.free.push(key);
            self.count -= 1;
        }
    }

    /// Takes a client out, to speak with it; its number stays its own.
    pub fn take(&mut self, key: u32) -> Option<Client> {
        self.slots.get_mut(at(key))?.client.take()
    }

    /// Puts a client at its number.
    pub fn put(&mut self, key: u32, client: Client) {
        if let Some(slot) = self.slots.get_mut(at(key)) {
            slot.client = Some(client);
        }
    }

    pub fn get_mut(&mut self, key: u32) -> Option<&mut Client> {
        self.slots.get_mut(at(key))?.client.as_mut()
    }

    /// Returns what the poller calls it.
    pub fn token(&self, key: u32) -> Token {
        let generation = self.slots.get(at(key)).map_or(0, |slot| slot.generation);
        Token(at(generation) << 32 | at(key))
    }

    /// Returns the number behind an event, if its client is still there.
    pub fn key(&self, token: Token) -> Option<u32> {
        let key = u32::try_from(token.0 & 0xFFFF_FFFF).ok()?;
        (self.token(key) == token).then_some(key)
    }

    /// Returns all numbers that have a client.
    pub fn keys(&self) -> Vec<u32> {
        let taken = self.slots.iter().enumerate().filter(|(_, slot)| slot.client.is_some());
        taken.filter_map(|(key, _)| u32::try_from(key).ok()).collect()
    }

    /// Takes all clients out, for good.
    pub fn drain(&mut self) -> Vec<Client> {
        let clients = self.slots.drain(..).filter_map(|slot| slot.client).collect();
        *self = Self::default();
        clients
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// Numbers of clients are of 32 bits, and so is `usize` at least on every machine with an epoll.
fn at(key: u32) -> usize {
    usize::try_from(key).unwrap_or(usize::MAX)
}
