//! Groups that have members on this thread, and those members.

use std::collections::HashMap;
use std::sync::Arc;

use super::clients::{Client, Clients, Subscriber};
use super::member::{Member, Watcher};
use super::signal::{DirtyFlag, Signal};

/// A group's members on this thread.
#[derive(Debug)]
pub(super) struct Group<M> {
    pub dirty: Arc<DirtyFlag>,
    pub subscribers: Vec<Subscriber<M>>,
    /// The revision that the members were last checked for, see [`Member::revision`]. Starts at 0, so that members are
    /// checked even if it rose while they joined.
    pub revision: u64,
    /// Identifies the group, see [`Member::group`].
    id: usize,
}

/// Slab of the groups of a thread, indexed by number.
#[derive(Debug)]
pub(super) struct Groups<M> {
    signal: Arc<Signal>,
    slots: Vec<Option<Group<M>>>,
    free: Vec<u32>,
    by_id: HashMap<usize, u32>,
}

impl<M: Member> Group<M> {
    /// Returns the revision that the members must be checked for before they get another update, if there is one.
    pub fn new_revision(&self) -> Option<u64> {
        let revision = self.subscribers.first()?.member.revision();
        (revision != self.revision).then_some(revision)
    }
}

impl<M: Member> Groups<M> {
    pub fn new(signal: Arc<Signal>) -> Self {
        Self { signal, slots: Vec::new(), free: Vec::new(), by_id: HashMap::new() }
    }

    pub fn get_mut(&mut self, group: u32) -> Option<&mut Group<M>> {
        self.slots.get_mut(usize::try_from(group).ok()?)?.as_mut()
    }

    /// Returns the number of `member`'s group, if the group has members on this thread.
    pub fn find(&self, member: &M) -> Option<u32> {
        self.by_id.get(&member.group()).copied()
    }

    pub fn subscriber_mut(&mut self, group: u32, position: u32) -> Option<&mut Subscriber<M>> {
        self.get_mut(group)?.subscribers.get_mut(usize::try_from(position).ok()?)
    }

    pub fn subscriber(&self, group: u32, position: u32) -> Option<&Subscriber<M>> {
        self.slots.get(usize::try_from(group).ok()?)?.as_ref()?.subscribers.get(usize::try_from(position).ok()?)
    }

    /// Adds a member; returns the number of its group and its position in it.
    pub fn add(&mut self, subscriber: Subscriber<M>) -> (u32, u32) {
        let number = self.find(&subscriber.member).unwrap_or_else(|| self.create(&subscriber.member));
        let position = self.get_mut(number).map_or(0, |group| {
            group.subscribers.push(subscriber);
            group.subscribers.len() - 1
        });
        (number, u32::try_from(position).unwrap_or(u32::MAX))
    }

    fn create(&mut self, member: &M) -> u32 {
        let number = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        let dirty = Arc::new(DirtyFlag::new(self.signal.clone(), number));
        let watcher: Arc<dyn Watcher> = dirty.clone();
        member.add_watcher(&watcher);
        // A frame may have been published before the watcher was registered, so check once.
        watcher.changed();
        self.by_id.insert(member.group(), number);
        let group = Group { dirty, subscribers: Vec::new(), revision: 0, id: member.group() };
        if let Some(slot) = usize::try_from(number).ok().and_then(|number| self.slots.get_mut(number)) {
            *slot = Some(group);
        }
        number
    }

    /// Ends the client's subscription with this id, and leaves its group unless another subscription uses it.
    pub fn unsubscribe<I: PartialEq>(&mut self, client: &mut Client<I>, id: &I, clients: &mut Clients<I>) {
        let Some(at) = client.subscriptions.iter().position(|one| one.id == *id) else { return };
        self.unsubscribe_at(client, at, clients);
    }

    /// Ends every subscription of the client.
    pub fn unsubscribe_all<I>(&mut self, client: &mut Client<I>, clients: &mut Clients<I>) {
        while !client.subscriptions.is_empty() {
            self.unsubscribe_at(client, 0, clients);
        }
        client.subscriptions = Vec::new();
    }

    fn unsubscribe_at<I>(&mut self, client: &mut Client<I>, at: usize, clients: &mut Clients<I>) {
        let removed = client.subscriptions.swap_remove(at);
        if !client.subscriptions.iter().any(|one| one.group == removed.group) {
            self.remove(removed.group, removed.position, clients);
        }
    }

    /// Removes a member. The last member takes its position, which is updated in that member's client. A group
    /// without members is removed.
    fn remove<I>(&mut self, number: u32, position: u32, clients: &mut Clients<I>) {
        let Some(at) = usize::try_from(position).ok() else { return };
        let Some(group) = self.get_mut(number) else { return };
        if at >= group.subscribers.len() {
            return;
        }
        group.subscribers.swap_remove(at);
        if let Some(moved) = group.subscribers.get(at).and_then(|subscriber| clients.get_mut(subscriber.client)) {
            moved.subscriptions.iter_mut().filter(|one| one.group == number).for_each(|one| one.position = position);
        }
        if group.subscribers.is_empty() {
            let id = group.id;
            self.by_id.remove(&id);
            if let Some(slot) = usize::try_from(number).ok().and_then(|number| self.slots.get_mut(number)) {
                *slot = None;
            }
            self.free.push(number);
        }
    }
}
