//! Slab of a thread's clients, indexed by key.

use mio::Token;

use super::client::Client;

/// One entry of the slab; reused by later clients.
#[derive(Debug)]
struct Slot<I> {
    /// Rises with each client, so that a late event of an earlier client is not taken for this one's.
    generation: u32,
    client: Option<Client<I>>,
}

/// Slab of clients with stable keys.
#[derive(Debug)]
pub(super) struct Clients<I> {
    slots: Vec<Slot<I>>,
    free: Vec<u32>,
    count: usize,
}

impl<I> Default for Clients<I> {
    fn default() -> Self {
        Self { slots: Vec::new(), free: Vec::new(), count: 0 }
    }
}

impl<I> Clients<I> {
    /// Reserves a free key; its entry stays empty until [`Clients::put`].
    pub fn reserve(&mut self) -> u32 {
        self.count += 1;
        if let Some(key) = self.free.pop() {
            return key;
        }
        let key = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        self.slots.push(Slot { generation: 0, client: None });
        key
    }

    /// Frees a key and drops its client, if present.
    pub fn release(&mut self, key: u32) {
        if let Some(slot) = self.slots.get_mut(index(key)) {
            slot.generation = slot.generation.wrapping_add(1);
            slot.client = None;
            self.free.push(key);
            self.count -= 1;
        }
    }

    /// Takes a client out temporarily; its key stays reserved.
    pub fn take(&mut self, key: u32) -> Option<Client<I>> {
        self.slots.get_mut(index(key))?.client.take()
    }

    /// Puts a client at its key.
    pub fn put(&mut self, key: u32, client: Client<I>) {
        if let Some(slot) = self.slots.get_mut(index(key)) {
            slot.client = Some(client);
        }
    }

    pub fn get_mut(&mut self, key: u32) -> Option<&mut Client<I>> {
        self.slots.get_mut(index(key))?.client.as_mut()
    }

    /// Returns the poller token of a key: generation and key.
    pub fn token(&self, key: u32) -> Token {
        let generation = self.slots.get(index(key)).map_or(0, |slot| slot.generation);
        Token(index(generation) << 32 | index(key))
    }

    /// Returns the key of an event's token, unless the token belongs to an earlier client.
    pub fn key(&self, token: Token) -> Option<u32> {
        let key = u32::try_from(token.0 & 0xFFFF_FFFF).ok()?;
        (self.token(key) == token).then_some(key)
    }

    /// Returns the keys of all clients.
    pub fn keys(&self) -> Vec<u32> {
        let occupied = self.slots.iter().enumerate().filter(|(_, slot)| slot.client.is_some());
        occupied.filter_map(|(key, _)| u32::try_from(key).ok()).collect()
    }

    /// Removes and returns all clients.
    pub fn drain(&mut self) -> Vec<Client<I>> {
        let clients = self.slots.drain(..).filter_map(|slot| slot.client).collect();
        *self = Self::default();
        clients
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// Converts a key to an index. Keys have 32 bits, and so has `usize` on every machine with epoll.
fn index(key: u32) -> usize {
    usize::try_from(key).unwrap_or(usize::MAX)
}
