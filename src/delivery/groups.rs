//! Groups that have members on this thread, and those members.

use std::collections::HashMap;
use std::sync::Arc;

use super::clients::Clients;
use super::mailbox::{DirtyFlag, Mailbox};
use crate::hub::{Member, Watcher};

/// One client's membership in a group.
#[derive(Debug)]
pub(super) struct Subscriber {
    /// Key of the client.
    pub client: u32,
    /// The last sequence sent to the client.
    pub sequence: u64,
    pub member: Member,
}

/// A group's members on this thread.
#[derive(Debug)]
pub(super) struct Group {
    pub dirty: Arc<DirtyFlag>,
    pub subscribers: Vec<Subscriber>,
    /// Identifies the group, see [`Member::group_address`].
    address: usize,
}

/// Slab of the groups of a thread, indexed by number.
#[derive(Debug)]
pub(super) struct Groups {
    mailbox: Arc<Mailbox>,
    slots: Vec<Option<Group>>,
    free: Vec<u32>,
    by_address: HashMap<usize, u32>,
}

impl Groups {
    pub fn new(mailbox: Arc<Mailbox>) -> Self {
        Self { mailbox, slots: Vec::new(), free: Vec::new(), by_address: HashMap::new() }
    }

    pub fn get_mut(&mut self, group: u32) -> Option<&mut Group> {
        self.slots.get_mut(usize::try_from(group).ok()?)?.as_mut()
    }

    /// Returns the number of `member`'s group, if the group has members on this thread.
    pub fn find(&self, member: &Member) -> Option<u32> {
        self.by_address.get(&member.group_address()).copied()
    }

    pub fn subscriber_mut(&mut self, group: u32, position: u32) -> Option<&mut Subscriber> {
        self.get_mut(group)?.subscribers.get_mut(usize::try_from(position).ok()?)
    }

    pub fn subscriber(&self, group: u32, position: u32) -> Option<&Subscriber> {
        self.slots.get(usize::try_from(group).ok()?)?.as_ref()?.subscribers.get(usize::try_from(position).ok()?)
    }

    /// Adds a member; returns the number of its group and its position in it.
    pub fn add(&mut self, subscriber: Subscriber) -> (u32, u32) {
        let number = self.find(&subscriber.member).unwrap_or_else(|| self.create(&subscriber.member));
        let position = self.get_mut(number).map_or(0, |group| {
            group.subscribers.push(subscriber);
            group.subscribers.len() - 1
        });
        (number, u32::try_from(position).unwrap_or(u32::MAX))
    }

    fn create(&mut self, member: &Member) -> u32 {
        let number = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        let dirty = Arc::new(DirtyFlag::new(self.mailbox.clone(), number));
        let watcher: Arc<dyn Watcher> = dirty.clone();
        member.add_watcher(&watcher);
        // A frame may have been published before the watcher was registered, so check once.
        watcher.changed();
        self.by_address.insert(member.group_address(), number);
        let group = Group { dirty, subscribers: Vec::new(), address: member.group_address() };
        if let Some(slot) = usize::try_from(number).ok().and_then(|number| self.slots.get_mut(number)) {
            *slot = Some(group);
        }
        number
    }

    /// Removes a member. The last member takes its position, which is updated in that member's client. A group
    /// without members is removed.
    pub fn remove(&mut self, number: u32, position: u32, clients: &mut Clients) {
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
            let address = group.address;
            self.by_address.remove(&address);
            if let Some(slot) = usize::try_from(number).ok().and_then(|number| self.slots.get_mut(number)) {
                *slot = None;
            }
            self.free.push(number);
        }
    }
}
