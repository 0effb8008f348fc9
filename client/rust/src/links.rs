//! The connections of a client: one for each address of its target. Calls take them in turn.

use std::{
    collections::{HashMap, HashSet},
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{StreamExt, future::join_all, stream::FuturesUnordered};
use tokio::time::Instant;
use tonic::transport::{Endpoint, Error};

use crate::{
    addresses::{Address, Addresses, Found},
    link::Link,
};

/// How often the names of a target are looked up: while it is in use, and when a connection was lost.
const LOOK_UP: Duration = Duration::from_secs(10);
const LOOK_UP_LOST: Duration = Duration::from_millis(500);
/// How often an address that cannot be reached is tried again, if there are others.
const REVIVE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Links {
    addresses: Arc<Addresses>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Never empty.
    places: Vec<Place>,
    next: usize,
    looked_up: Instant,
    looking_up: bool,
}

/// An address, and the connection to it.
#[derive(Debug)]
struct Place {
    address: Address,
    link: Option<Arc<Link>>,
    tried: Option<Instant>,
}

impl Place {
    fn new(address: Address, link: Option<Arc<Link>>) -> Self {
        Self { address, link, tried: None }
    }

    fn ready(&self) -> Option<&Arc<Link>> {
        self.link.as_ref().filter(|link| !link.is_doubtful())
    }
}

impl Links {
    pub(crate) fn new(addresses: Arc<Addresses>) -> Self {
        let places = addresses.as_written().into_iter().map(|address| Place::new(address, None)).collect();
        Self { addresses, state: Mutex::new(State { places, next: 0, looked_up: Instant::now(), looking_up: false }) }
    }

    /// Connect to all addresses; return when there is a connection to one of them.
    pub(crate) async fn connect_any(self: &Arc<Self>) -> Result<(), Option<Error>> {
        if let Some(found) = self.find().await {
            self.lock().replace(found);
        }
        let addresses: Vec<_> = self.lock().places.iter().map(|place| place.address.clone()).collect();
        let connect = |address| tokio::spawn(Arc::clone(self).connect(address));
        let mut attempts: FuturesUnordered<_> = addresses.into_iter().map(connect).collect();
        let mut fault = None;
        while let Some(outcome) = attempts.next().await {
            match outcome {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => fault = Some(error),
                Err(_) => {} // the runtime ends
            }
        }
        Err(fault)
    }

    /// The connection for the next call. Addresses without a connection are passed over, if there are others, and tried
    /// again beside the calls. If there is no connection at all, the call makes one.
    pub(crate) fn next(self: &Arc<Self>) -> Arc<Link> {
        let mut state = self.lock();
        self.look_up_if_due(&mut state);
        let (first, count) = (state.next, state.places.len());
        state.next = (first + 1) % count;
        for turn in 0..count {
            let place = &mut state.places[(first + turn) % count];
            if let Some(link) = place.ready() {
                return Arc::clone(link);
            }
            if count > 1 {
                self.revive(place);
            }
        }
        let place = &mut state.places[first % count];
        Arc::clone(place.link.get_or_insert_with(|| Arc::new(Link::lazy(&place.address.endpoint))))
    }

    /// Give a connection up.
    pub(crate) fn remove(&self, link: &Link) {
        for place in &mut self.lock().places {
            place.link.take_if(|current| std::ptr::eq(&**current, link));
        }
    }

    pub(crate) fn endpoints(&self) -> Vec<Endpoint> {
        self.lock().places.iter().map(|place| place.address.endpoint.clone()).collect()
    }

    async fn connect(self: Arc<Self>, address: Address) -> Result<(), Error> {
        let link = Arc::new(Link::connect(&address.endpoint).await?);
        let mut state = self.lock();
        if let Some(place) = state.places.iter_mut().find(|place| place.address.text == address.text)
            && place.ready().is_none()
        {
            place.link = Some(link);
        }
        Ok(())
    }

    fn revive(self: &Arc<Self>, place: &mut Place) {
        if place.tried.is_none_or(|tried| tried.elapsed() >= REVIVE) {
            place.tried = Some(Instant::now());
            tokio::spawn(Arc::clone(self).connect(place.address.clone()));
        }
    }

    fn look_up_if_due(self: &Arc<Self>, state: &mut State) {
        let lost = state.places.iter().any(|place| place.link.as_ref().is_some_and(|link| link.is_doubtful()));
        let pause = if lost { LOOK_UP_LOST } else { LOOK_UP };
        if state.looking_up || !self.addresses.have_names() || state.looked_up.elapsed() < pause {
            return;
        }
        state.looking_up = true;
        let links = Arc::clone(self);
        tokio::spawn(async move {
            let mut found = links.find().await;
            if let Some(places) = &mut found {
                links.connect_new(places).await;
            }
            let mut state = links.lock();
            (state.looking_up, state.looked_up) = (false, Instant::now());
            state.replace(found.unwrap_or_default());
        });
    }

    /// Places for the addresses that the names have now. None: a name cannot be looked up.
    async fn find(&self) -> Option<Vec<Place>> {
        let found = self.addresses.look_up().await?;
        let known: HashMap<_, _> =
            self.lock().places.iter().map(|place| (place.address.text.clone(), place.address.clone())).collect();
        let address = |found: Found<'_>| known.get(&found.text).cloned().or_else(|| self.addresses.address(found));
        Some(found.into_iter().filter_map(address).map(|address| Place::new(address, None)).collect())
    }

    /// Connect to those addresses that are new.
    async fn connect_new(&self, places: &mut [Place]) {
        let known: HashSet<_> = self.lock().places.iter().map(|place| place.address.text.clone()).collect();
        let new = places.iter_mut().filter(|place| !known.contains(&place.address.text));
        let connecting =
            new.map(async |place| place.link = Link::connect(&place.address.endpoint).await.ok().map(Arc::new));
        join_all(connecting).await;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Take these addresses instead of those before. Connections to addresses that stay are kept. Nothing is taken if that
    /// would leave no connection where there is one.
    fn replace(&mut self, found: Vec<Place>) {
        let is_linked =
            |place: &Place| self.places.iter().any(|old| old.address.text == place.address.text && old.link.is_some());
        let (before, after) = (
            self.places.iter().any(|place| place.link.is_some()),
            found.iter().any(|place| place.link.is_some() || is_linked(place)),
        );
        if found.is_empty() || (before && !after) {
            return;
        }
        let old = mem::take(&mut self.places).into_iter();
        let mut old: HashMap<_, _> = old.map(|place| (place.address.text.clone(), place)).collect();
        self.places = found.into_iter().map(|place| old.remove(&place.address.text).unwrap_or(place)).collect();
    }
}
