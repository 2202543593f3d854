//! The groups that a thread has members of, and who they are.

use std::collections::HashMap;
use std::sync::Arc;

use super::clients::Clients;
use super::port::{Mark, Port};
use crate::hub::{Member, Watcher};

/// A client's place in a group.
#[derive(Debug)]
pub(super) struct Place {
    pub client: u32,
    /// The last sequence that it was told.
    pub seen: u64,
    pub member: Member,
}

#[derive(Debug)]
pub(super) struct Group {
    pub mark: Arc<Mark>,
    pub places: Vec<Place>,
    /// See [`Member::place`].
    address: usize,
}

#[derive(Debug)]
pub(super) struct Groups {
    port: Arc<Port>,
    slots: Vec<Option<Group>>,
    free: Vec<u32>,
    by_address: HashMap<usize, u32>,
}

impl Groups {
    pub fn new(port: Arc<Port>) -> Self {
        Self { port, slots: Vec::new(), free: Vec::new(), by_address: HashMap::new() }
    }

    pub fn get_mut(&mut self, group: u32) -> Option<&mut Group> {
        self.slots.get_mut(usize::try_from(group).ok()?)?.as_mut()
    }

    /// Returns the number of the group that `member` is of, if anybody of it is here.
    pub fn find(&self, member: &Member) -> Option<u32> {
        self.by_address.get(&member.place()).copied()
    }

    pub fn place_mut(&mut self, group: u32, position: u32) -> Option<&mut Place> {
        self.get_mut(group)?.places.get_mut(usize::try_from(position).ok()?)
    }

    pub fn place(&self, group: u32, position: u32) -> Option<&Place> {
        self.slots.get(usize::try_from(group).ok()?)?.as_ref()?.places.get(usize::try_from(position).ok()?)
    }

    /// Adds a place; returns the numbers of the group and of the place in it.
    pub fn enter(&mut self, place: Place) -> (u32, u32) {
        let number = self.find(&place.member).unwrap_or_else(|| self.open(&place.member));
        let position = self.get_mut(number).map_or(0, |group| {
            group.places.push(place);
            group.places.len() - 1
        });
        (number, u32::try_from(position).unwrap_or(u32::MAX))
    }

    fn open(&mut self, member: &Member) -> u32 {
        let number = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        let mark = Arc::new(Mark::new(self.port.clone(), number));
        let watcher: Arc<dyn Watcher> = mark.clone();
        member.watch(&watcher);
        // A frame may have come before it was watched: one look tells.
        watcher.changed();
        self.by_address.insert(member.place(), number);
        let group = Group { mark, places: Vec::new(), address: member.place() };
        if let Some(slot) = usize::try_from(number).ok().and_then(|number| self.slots.get_mut(number)) {
            *slot = Some(group);
        }
        number
    }

    /// Takes a place away. The last one moves there, and its client is told; the group ends with its last place.
    pub fn leave(&mut self, number: u32, position: u32, clients: &mut Clients) {
        let Some(at) = usize::try_from(position).ok() else { return };
        let Some(group) = self.get_mut(number) else { return };
        if at >= group.places.len() {
            return;
        }
        group.places.swap_remove(at);
        if let Some(moved) = group.places.get(at).and_then(|place| clients.get_mut(place.client)) {
            moved.subscriptions.iter_mut().filter(|one| one.group == number).for_each(|one| one.position = position);
        }
        if group.places.is_empty() {
            let address = group.address;
            self.by_address.remove(&address);
            if let Some(slot) = usize::try_from(number).ok().and_then(|number| self.slots.get_mut(number)) {
                *slot = None;
            }
            self.free.push(number);
        }
    }
}
