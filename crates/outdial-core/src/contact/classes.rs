//! The classes of the people of one request: where each may be, from the record's own zone, its
//! number, the batch and the workspace. Many records share one, so each is put together once.
//!
//! The batch's and the workspace's zone say when to call where nothing else does. They never say
//! where a person is: the calling rules are not read in them.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use crate::phone::ParsedPhone;
use crate::phone_places::{NumberPlaces, ZonePlaces};
use crate::phone_zones::PhoneZones;
use crate::zone::{Class, Place, Zone};

/// Most spellings of zones that are remembered; a list has a few, an attacker many.
const SPELLINGS_MAX: usize = 4096;

/// A class that a `Checker` has met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClassId(NonZeroU32);

impl ClassId {
    /// Its position in the list of classes.
    pub(super) fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}

/// A zone that records bring; an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct OwnZone(u32);

/// What makes a class, each part as small as an index: own zone, list of the number's zones, and
/// places of the number.
type Parts = (Option<OwnZone>, Option<u16>, NumberPlaces);

/// The classes of one request.
#[derive(Clone, Debug)]
pub(super) struct Classes {
    /// In which to call where neither the record nor its number says.
    default_zone: Zone,
    /// That is the batch's: it goes before the zones of the number.
    is_batch: bool,
    /// Texts of classes; a `ClassId` is a position from 1.
    texts: Vec<Arc<str>>,
    by_text: BTreeMap<Arc<str>, ClassId>,
    by_parts: BTreeMap<Parts, ClassId>,
    own: Vec<Zone>,
    own_by_name: BTreeMap<Box<str>, OwnZone>,
    own_by_spelling: BTreeMap<Box<str>, OwnZone>,
}

impl Classes {
    /// Of a batch with this zone, in a workspace with that.
    pub(super) fn new(batch: Option<&Zone>, workspace: &Zone) -> Self {
        Self {
            default_zone: batch.unwrap_or(workspace).clone(),
            is_batch: batch.is_some(),
            texts: Vec::new(),
            by_text: BTreeMap::new(),
            by_parts: BTreeMap::new(),
            own: Vec::new(),
            own_by_name: BTreeMap::new(),
            own_by_spelling: BTreeMap::new(),
        }
    }

    pub(super) fn text(&self, class: ClassId) -> &Arc<str> {
        &self.texts[class.index()]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (ClassId, &Arc<str>)> {
        (1..).filter_map(NonZeroU32::new).map(ClassId).zip(&self.texts)
    }

    /// The zone that a record names, if it exists.
    pub(super) fn own_zone(&mut self, name: &str) -> Option<OwnZone> {
        if let Some(own) = self.own_by_spelling.get(name) {
            return Some(*own);
        }
        let zone: Zone = name.parse().ok()?;
        let own = match self.own_by_name.get(zone.name()) {
            Some(own) => *own,
            None => {
                let own = OwnZone(u32::try_from(self.own.len()).ok()?);
                self.own_by_name.insert(zone.name().into(), own);
                self.own.push(zone);
                own
            }
        };
        if self.own_by_spelling.len() < SPELLINGS_MAX {
            self.own_by_spelling.insert(name.into(), own);
        }
        Some(own)
    }

    /// The class of a person with this number, who may have brought a zone. `candidates`: where
    /// the number can lie.
    pub(super) fn of(
        &mut self,
        own: Option<OwnZone>,
        phone: &ParsedPhone,
        candidates: Option<&'static PhoneZones>,
    ) -> ClassId {
        let places = NumberPlaces::of(phone.number, phone.country);
        let parts = (own, candidates.map(PhoneZones::id), places);
        if let Some(class) = self.by_parts.get(&parts) {
            return *class;
        }
        let own = own.and_then(|own| self.own.get(own.0 as usize));
        let class = self.put_together(own, candidates.map(PhoneZones::class), places);
        let id = self.intern(&class.to_string().into());
        self.by_parts.insert(parts, id);
        id
    }

    fn put_together(
        &self,
        own: Option<&Zone>,
        candidates: Option<&Class>,
        places: NumberPlaces,
    ) -> Class {
        let mut places = places.list();
        let Some(own) = own else {
            let Some(candidates) = candidates else {
                return Class::new([self.default_zone.clone()]);
            };
            let class = match self.is_batch {
                true => Class::new([self.default_zone.clone()]),
                false => candidates.clone(),
            };
            let rule_zones = candidates.zones().iter().cloned();
            return class.at_places(places).rules_read_in(rule_zones);
        };
        let known = ZonePlaces::of(own);
        let class = Class::new([own.clone()]);
        let candidates = candidates.map_or(&[][..], Class::zones);
        if candidates
            .iter()
            .any(|zone| zone == own || known.is_some_and(|k| k.name() == zone.name()))
        {
            return class.at_places(narrowed(&places, known));
        }
        places.extend(known.into_iter().flat_map(ZonePlaces::places));
        let rule_zones = candidates.iter().chain([own]).cloned();
        class.at_places(without_parts(&places)).rules_read_in(rule_zones)
    }

    pub(super) fn intern(&mut self, text: &Arc<str>) -> ClassId {
        if let Some(id) = self.by_text.get(text) {
            return *id;
        }
        self.texts.push(Arc::clone(text));
        let id = u32::try_from(self.texts.len()).ok().and_then(NonZeroU32::new);
        let id = ClassId(id.expect("just pushed one, and a request has fewer than 2^32 records"));
        self.by_text.insert(Arc::clone(text), id);
        id
    }
}

/// The places of a number whose owner says in which of its zones they are: of a country that has
/// the zone, its parts where the zone's clocks are read.
fn narrowed(places: &[Place], known: Option<&ZonePlaces>) -> Vec<Place> {
    let parts_of = |country: &Place| {
        let all = known.map_or(&[][..], ZonePlaces::places);
        let country = *country;
        all.iter().copied().filter(move |part| part.country() == country)
    };
    let mut narrowed = Vec::new();
    for place in places {
        match place.is_country() && parts_of(place).next().is_some() {
            true => narrowed.extend(parts_of(place)),
            false => narrowed.push(*place),
        }
    }
    narrowed
}

/// Leaves out the parts of a country that is there as a whole.
fn without_parts(places: &[Place]) -> Vec<Place> {
    let whole = |place: &Place| place.is_country() || !places.contains(&place.country());
    places.iter().copied().filter(whole).collect()
}
