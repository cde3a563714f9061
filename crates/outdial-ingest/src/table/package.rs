//! The parts of an `.xlsx` file, read as XML in bounded memory.
//!
//! A ZIP archive says how large its parts are, and may lie: what counts here is the bytes that
//! really come out, all parts together and between two XML events. Nothing is unpacked before it is
//! read, and no part is held.

use std::cell::Cell;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::rc::Rc;

use memchr::memmem;
use outdial_core::contact::RECORD_MAX_BYTES;
use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesRef, BytesStart, Event};
use zip::ZipArchive;
use zip::read::ZipFile;

use super::TableError;

/// Most parts of a workbook: the archive's list of them is in memory.
pub(super) const PARTS_MAX: usize = 2_000;
/// How an entry of that list begins.
const ENTRY_SIGNATURE: &[u8] = b"PK\x01\x02";
/// Most bytes of one tag, one text, one comment.
const EVENT_MAX_BYTES: u64 = 1 << 20;
const BUFFER_BYTES: usize = 64 << 10;

/// Why reading stopped, other than by what was read.
#[derive(Clone, Copy, Debug)]
enum Over {
    Total,
    Event,
}

/// What may still come out of the archive.
#[derive(Debug)]
struct Budget {
    max: u64,
    left: Cell<u64>,
    over: Cell<Option<Over>>,
}

/// An open workbook's archive.
pub(super) struct Package<R> {
    zip: ZipArchive<R>,
    budget: Rc<Budget>,
}

impl<R: Read + Seek> Package<R> {
    /// Opens the archive; `unpacked_max`: bytes that all its parts may have together.
    pub(super) fn open(mut source: R, unpacked_max: u64) -> Result<Self, TableError> {
        count_parts(&mut source)?;
        let zip = ZipArchive::new(source).map_err(|error| broken(&error))?;
        let budget = Rc::new(Budget {
            max: unpacked_max,
            left: Cell::new(unpacked_max),
            over: Cell::new(None),
        });
        Ok(Self { zip, budget })
    }

    /// A part, by its path from the root, in any case; none: there is none.
    pub(super) fn part(
        &mut self,
        path: &str,
    ) -> Result<Option<Xml<impl Read + use<'_, R>>>, TableError> {
        let path = path.trim_start_matches('/');
        // A name that is no text is no part.
        let names = self.zip.file_names().flatten();
        let found = names.map(|name| name.into_owned()).find(|n| n.eq_ignore_ascii_case(path));
        let Some(name) = found else { return Ok(None) };
        let file: ZipFile<'_, R> = self.zip.by_name(&name).map_err(|error| broken(&error))?;
        let metered = Metered { inner: file, since_event: 0, budget: Rc::clone(&self.budget) };
        let reader = Reader::from_reader(BufReader::with_capacity(BUFFER_BYTES, metered));
        Ok(Some(Xml { reader, buffer: Vec::new(), budget: Rc::clone(&self.budget) }))
    }
}

/// Refuses an archive whose list of parts would be large. Every entry of it has this signature;
/// packed data has it once in 4 GiB by chance.
fn count_parts(source: &mut (impl Read + Seek)) -> Result<(), TableError> {
    let finder = memmem::Finder::new(ENTRY_SIGNATURE);
    let keep = ENTRY_SIGNATURE.len() - 1;
    let (mut window, mut count) = (vec![0; BUFFER_BYTES], 0);
    source.seek(SeekFrom::Start(0)).map_err(|error| broken(&error))?;
    let mut kept = 0;
    loop {
        let read = source.read(&mut window[kept..]).map_err(|error| broken(&error))?;
        if read == 0 {
            break;
        }
        let filled = kept + read;
        count += finder.find_iter(&window[..filled]).count();
        if count > PARTS_MAX {
            return Err(TableError::Broken(format!("it has more than {PARTS_MAX} parts")));
        }
        kept = filled.min(keep);
        window.copy_within(filled - kept..filled, 0);
    }
    source.seek(SeekFrom::Start(0)).map_err(|error| broken(&error))?;
    Ok(())
}

/// Counts what really comes out.
struct Metered<R> {
    inner: R,
    since_event: u64,
    budget: Rc<Budget>,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        let bytes = read as u64;
        let left = self.budget.left.get();
        self.since_event += bytes;
        let over = match () {
            () if bytes > left => Over::Total,
            () if self.since_event > EVENT_MAX_BYTES => Over::Event,
            () => {
                self.budget.left.set(left - bytes);
                return Ok(read);
            }
        };
        self.budget.over.set(Some(over));
        Err(io::Error::other("too large"))
    }
}

/// One part, event by event.
pub(super) struct Xml<R> {
    reader: Reader<BufReader<Metered<R>>>,
    buffer: Vec<u8>,
    budget: Rc<Budget>,
}

impl<R: Read> Xml<R> {
    /// The next event; none: the part is over.
    pub(super) fn next(&mut self) -> Result<Option<Event<'_>>, TableError> {
        self.buffer.clear();
        self.reader.get_mut().get_mut().since_event = 0;
        match self.reader.read_event_into(&mut self.buffer) {
            Ok(Event::Eof) => Ok(None),
            Ok(Event::DocType(_)) => {
                Err(TableError::Broken("a part declares a document type".to_owned()))
            }
            Ok(event) => Ok(Some(event)),
            Err(error) => Err(match self.budget.over.get() {
                Some(Over::Total) => {
                    TableError::TooLarge { what: "the unpacked workbook", max: self.budget.max }
                }
                Some(Over::Event) => {
                    TableError::TooLarge { what: "a text in the workbook", max: EVENT_MAX_BYTES }
                }
                None => broken(&error),
            }),
        }
    }
}

/// The value of an attribute, by its name without a prefix.
pub(super) fn attribute(tag: &BytesStart<'_>, name: &str) -> Option<String> {
    // One with a duplicate or without quotes is as good as none.
    let found = tag.attributes().flatten().find(|a| a.key.local_name().as_ref() == name)?;
    found
        .normalized_value(quick_xml::XmlVersion::Implicit1_0)
        .ok()
        .map(std::borrow::Cow::into_owned)
}

/// A text or a piece of one, onto the end of `text`, as far as a record can be long.
pub(super) fn push_text(event: &Event<'_>, text: &mut String) -> Result<(), TableError> {
    match event {
        Event::Text(piece) => push_bounded(&piece.xml10_content(), text),
        Event::CData(piece) => push_bounded(&piece.xml10_content(), text),
        Event::GeneralRef(reference) => push_bounded(&resolved(reference)?, text),
        _ => {}
    }
    Ok(())
}

fn push_bounded(piece: &str, text: &mut String) {
    // One more than a record can have, so that it is seen to be too long.
    let room = (RECORD_MAX_BYTES + 1).saturating_sub(text.len());
    text.push_str(&piece[..piece.floor_char_boundary(room)]);
}

fn resolved(reference: &BytesRef<'_>) -> Result<String, TableError> {
    if let Some(c) = reference.resolve_char_ref().map_err(|error| broken(&error))? {
        return Ok(c.to_string());
    }
    let known = resolve_predefined_entity(reference);
    known.map(ToOwned::to_owned).ok_or_else(|| {
        TableError::Broken("a part uses an entity that it does not define".to_owned())
    })
}

/// What a library says.
pub(super) fn broken(error: &dyn std::fmt::Display) -> TableError {
    TableError::Broken(error.to_string().chars().take(200).collect())
}
