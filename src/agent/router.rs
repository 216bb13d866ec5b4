//! [`Directory`]: who is deployed, by id, by name and by topic.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;

use super::actor::Actor;
use super::error::DeployError;
use super::id::{Address, AgentId, AgentName, MaxAgents, Topic};

/// Who is deployed.
pub(super) struct Directory {
    most: MaxAgents,
    maps: RwLock<Maps>,
}

#[derive(Default)]
struct Maps {
    by_id: HashMap<AgentId, Arc<Actor>>,
    by_name: HashMap<AgentName, Named>,
    /// Shared, so that a message is handed out with nothing locked.
    by_topic: HashMap<Topic, Arc<[Arc<Actor>]>>,
    closed: bool,
}

/// Who has a name.
struct Named {
    actor: Arc<Actor>,
    /// It was taken out, and only its name is still taken.
    out: bool,
}

impl Directory {
    pub fn new(most: MaxAgents) -> Self {
        Self { most, maps: RwLock::default() }
    }

    /// Whether one more of this name can be deployed now.
    pub fn check(&self, name: &AgentName) -> Result<(), DeployError> {
        self.maps.read().check(name, self.most)
    }

    /// Adds one.
    pub fn insert(&self, actor: &Arc<Actor>) -> Result<(), DeployError> {
        let identity = &actor.identity;
        let mut maps = self.maps.write();
        maps.check(&identity.name, self.most)?;
        maps.by_id.insert(identity.id, actor.clone());
        maps.by_name.insert(identity.name.clone(), Named { actor: actor.clone(), out: false });
        for topic in &actor.config.topics {
            let entry = maps.by_topic.entry(topic.clone()).or_insert_with(|| Arc::new([]));
            *entry = entry.iter().cloned().chain([actor.clone()]).collect();
        }
        Ok(())
    }

    /// Takes one out, so that it is not found any more; `None` if it is out already. Its name and place are taken
    /// until it is gone.
    pub fn remove(&self, id: AgentId) -> Option<Arc<Actor>> {
        let mut maps = self.maps.write();
        let actor = maps.by_id.remove(&id)?;
        if let Some(named) = maps.by_name.get_mut(&actor.identity.name) {
            named.out = true;
        }
        for topic in &actor.config.topics {
            if let Some(entry) = maps.by_topic.get_mut(topic) {
                *entry = entry.iter().filter(|other| !Arc::ptr_eq(other, &actor)).cloned().collect();
                if entry.is_empty() {
                    maps.by_topic.remove(topic);
                }
            }
        }
        Some(actor)
    }

    /// One that was taken out is gone: another may have its name and its place.
    pub fn free(&self, actor: &Actor) {
        let mut maps = self.maps.write();
        maps.by_name.remove(&actor.identity.name);
        if maps.by_name.is_empty() {
            maps.by_id.shrink_to_fit();
            maps.by_name.shrink_to_fit();
            maps.by_topic.shrink_to_fit();
        }
    }

    pub fn by_id(&self, id: AgentId) -> Option<Arc<Actor>> {
        self.maps.read().by_id.get(&id).cloned()
    }

    pub fn by_name(&self, name: &str) -> Option<Arc<Actor>> {
        let maps = self.maps.read();
        maps.by_name.get(name).filter(|named| !named.out).map(|named| named.actor.clone())
    }

    pub fn by_topic(&self, topic: &str) -> Arc<[Arc<Actor>]> {
        self.maps.read().by_topic.get(topic).cloned().unwrap_or_else(|| Arc::new([]))
    }

    /// One receiver; `None` also for a topic.
    pub fn one(&self, to: &Address) -> Option<Arc<Actor>> {
        match to {
            Address::Id(id) => self.by_id(*id),
            Address::Name(name) => self.by_name(name.as_str()),
            Address::Topic(_) => None,
        }
    }

    pub fn all(&self) -> Vec<Arc<Actor>> {
        self.maps.read().by_id.values().cloned().collect()
    }

    pub fn len(&self) -> usize {
        self.maps.read().by_id.len()
    }

    /// Nobody is added from now on.
    pub fn close(&self) {
        self.maps.write().closed = true;
    }
}

impl Maps {
    fn check(&self, name: &AgentName, most: MaxAgents) -> Result<(), DeployError> {
        if self.closed {
            return Err(DeployError::ShuttingDown);
        }
        if let Some(other) = self.by_name.get(name) {
            return Err(DeployError::NameTaken { name: name.clone(), by: other.actor.identity.id });
        }
        if self.by_name.len() >= most.get() {
            return Err(DeployError::TooMany(most));
        }
        Ok(())
    }
}
