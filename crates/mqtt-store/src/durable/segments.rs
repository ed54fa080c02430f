//! The segments: files that are only appended to, and removed from the oldest on.
//!
//! A segment begins with a header and holds frames. A frame is stored whole or not at all; its checksum tells.
//! Each frame says how far everything before it was synced when it was written: what does not read before that
//! point is damage, what does not read behind it is what a power failure took.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;

use super::image::Frame;
use super::live::{At, Spot};
use super::medium::{Medium, MediumFile};

/// What segments begin with, before the version and the number.
const MAGIC: [u8; 8] = *b"MARTLET\n";
/// The format that is written, and the only one that is read. Format 1 was never released.
pub(crate) const FORMAT: u32 = 2;
pub(crate) const HEADER_BYTES: u64 = 16;
const FRAME_MAGIC: [u8; 4] = *b"\xf5Mf1";
/// Magic, length, checksum, synced up to.
const FRAME_HEAD_BYTES: usize = 20;

/// All segments of a store.
#[derive(Debug)]
pub(crate) struct Segments {
    medium: Arc<dyn Medium>,
    files: BTreeMap<u32, Segment>,
    /// Not needed any more, oldest first; removed once everything up to this place is synced.
    retired: VecDeque<(u32, Segment, At)>,
    /// Everything before it survives a power failure.
    synced_to: At,
    segment_bytes_max: u64,
}

#[derive(Debug)]
struct Segment {
    file: Arc<dyn MediumFile>,
    len_bytes: u64,
}

/// What was found in the segments that cannot be used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// The end of the last write, which a crash cut off; nothing of it was acknowledged as synced.
    pub torn: Vec<String>,
    /// Damage in what was stored safely.
    pub damaged: Vec<String>,
}

pub(crate) fn name_of(number: u32) -> String {
    format!("{number:010}.segment")
}

pub(crate) fn number_of(name: &str) -> Option<u32> {
    name.strip_suffix(".segment")?.parse().ok()
}

/// The highest number of a segment: a place has 63 bits. At a segment a second it lasts for 68 years.
const NUMBER_MAX: u32 = u32::MAX >> 1;

/// Numbers of the segments that are there, the oldest first.
pub(crate) fn numbers(medium: &dyn Medium) -> io::Result<Vec<u32>> {
    let mut numbers: Vec<u32> = medium.list()?.iter().filter_map(|name| number_of(name)).collect();
    numbers.sort_unstable();
    match numbers.last() {
        Some(last) if *last > NUMBER_MAX => {
            Err(other(format!("{} is numbered higher than any segment can be", name_of(*last))))
        }
        _ => Ok(numbers),
    }
}

/// Bytes from the start of a segment that can be read without a gap.
pub(crate) fn whole_bytes(segment: &[u8]) -> usize {
    let mut position = HEADER_BYTES as usize;
    while let Some((payload, _)) = segment.get(position..).and_then(frame_at) {
        position += FRAME_HEAD_BYTES + payload.len();
    }
    position.min(segment.len())
}

const fn at(number: u32, offset: u64) -> At {
    (number as u64) << 32 | offset
}

pub(crate) const fn number_at(at: At) -> u32 {
    (at >> 32) as u32
}

pub(crate) const fn offset_at(at: At) -> u64 {
    at & 0xffff_ffff
}

fn other(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

impl Segments {
    /// Opens all segments and hands each frame's records to `replay`, with the place of the first.
    ///
    /// # Errors
    /// The medium failed, or a segment is of a format that this version does not know.
    pub(crate) fn open(
        medium: Arc<dyn Medium>,
        segment_bytes_max: u64,
        mut replay: impl FnMut(&[u8], At) -> Result<(), String>,
    ) -> io::Result<(Self, Findings)> {
        let numbers = numbers(&*medium)?;
        let count = numbers.len();
        let mut segments = Self {
            medium: medium.clone(),
            files: BTreeMap::new(),
            retired: VecDeque::new(),
            synced_to: 0,
            segment_bytes_max,
        };
        let mut findings = Findings::default();
        let last = numbers.last().copied();
        // One is read from the medium while another is taken in.
        let (reads, contents) = crossbeam_channel::bounded(READ_AHEAD);
        std::thread::scope(|scope| {
            scope.spawn(|| read_all(&*medium, numbers, &reads));
            for _ in 0..count {
                let (number, read) = contents.recv().expect("the reader reads them all");
                let (file, bytes) = read?;
                segments.take_in(number, file, &bytes, Some(number) == last, &mut replay, &mut findings)?;
            }
            Ok::<_, io::Error>(())
        })?;
        if let (Some(first), Some(last)) = (segments.files.keys().next(), segments.files.keys().last())
            && u64::from(last - first) + 1 != segments.files.len() as u64
        {
            findings.damaged.push(format!("segments between {first} and {last} are missing"));
        }
        Ok((segments, findings))
    }

    fn take_in(
        &mut self,
        number: u32,
        file: Arc<dyn MediumFile>,
        bytes: &[u8],
        is_last: bool,
        replay: &mut impl FnMut(&[u8], At) -> Result<(), String>,
        findings: &mut Findings,
    ) -> io::Result<()> {
        let name = name_of(number);
        let mut end = HEADER_BYTES.min(bytes.len() as u64);
        match header_of(bytes) {
            Header::Known => {}
            Header::Format(format) => {
                return Err(other(format!(
                    "{name} has format {format}, and this version of Martlet reads and writes format {FORMAT} only"
                )));
            }
            Header::Torn => {
                let list = if is_last { &mut findings.torn } else { &mut findings.damaged };
                list.push(format!("{name} has no header ({} bytes)", bytes.len()));
                if is_last {
                    return Ok(()); // the next segment takes its name
                }
            }
        }
        let mut position = HEADER_BYTES as usize;
        while position < bytes.len() {
            match frame_at(&bytes[position..]) {
                Some((payload, synced_to)) => {
                    let origin = at(number, (position + FRAME_HEAD_BYTES) as u64);
                    self.synced_to = self.synced_to.max(synced_to);
                    if let Err(sentence) = replay(payload, origin) {
                        findings.damaged.push(format!("{name} at {position}: {sentence}"));
                    }
                    position += FRAME_HEAD_BYTES + payload.len();
                    end = position as u64;
                }
                None => {
                    let next = next_frame(bytes, position + 1);
                    let lost_bytes = next.unwrap_or(bytes.len()) - position;
                    let sentence = format!("{name}: {lost_bytes} bytes at {position} cannot be read");
                    // Only the last segment can end in what was never synced, and then nothing behind it was.
                    if is_last && !self.was_synced(number, bytes, position) {
                        findings.torn.push(sentence);
                        break;
                    }
                    findings.damaged.push(sentence);
                    position = next.unwrap_or(bytes.len());
                }
            }
        }
        self.files.insert(number, Segment { file, len_bytes: end.max(HEADER_BYTES) });
        Ok(())
    }

    /// Whether this place was synced, as far as any frame knows.
    fn was_synced(&self, number: u32, bytes: &[u8], position: usize) -> bool {
        let mut synced_to = self.synced_to;
        let mut from = position;
        while let Some(next) = next_frame(bytes, from + 1) {
            synced_to = synced_to.max(frame_at(&bytes[next..]).map_or(0, |(_, synced_to)| synced_to));
            from = next;
        }
        at(number, position as u64) < synced_to
    }

    /// Cuts off what a crash left unfinished, and makes sure of what it left whole.
    ///
    /// # Errors
    /// The medium failed.
    pub(crate) fn tidy_end(&mut self) -> io::Result<()> {
        let Some((_, segment)) = self.files.iter().next_back() else { return Ok(()) };
        segment.file.truncate(segment.len_bytes)?;
        let (file, to) = self.next_sync();
        file.sync()?;
        self.note_synced(to);
        Ok(())
    }

    /// Begins a new segment, so that nothing is ever written behind what could not be read.
    ///
    /// # Errors
    /// The medium failed or is full.
    pub(crate) fn begin(&mut self) -> io::Result<()> {
        let next = self.files.keys().next_back().map_or(1, |last| last + 1);
        if next > NUMBER_MAX {
            return Err(other("no number is left for a new segment: export and import it".to_owned()));
        }
        self.add(next)
    }

    /// A store that is written from the start, beginning with this segment.
    ///
    /// # Errors
    /// The medium failed or is full.
    pub(crate) fn fresh(medium: Arc<dyn Medium>, number: u32, segment_bytes_max: u64) -> io::Result<Self> {
        let (files, retired) = (BTreeMap::new(), VecDeque::new());
        let mut segments = Self { medium, files, retired, synced_to: 0, segment_bytes_max };
        segments.add(number)?;
        Ok(segments)
    }

    fn add(&mut self, number: u32) -> io::Result<()> {
        let file = self.medium.create(&name_of(number))?;
        let mut header = MAGIC.to_vec();
        header.extend_from_slice(&FORMAT.to_le_bytes());
        header.extend_from_slice(&number.to_le_bytes());
        file.write_at(&header, 0)?;
        file.sync()?;
        self.files.insert(number, Segment { file, len_bytes: HEADER_BYTES });
        Ok(())
    }

    fn last(&mut self) -> (u32, &mut Segment) {
        let (number, segment) = self.files.iter_mut().next_back().expect("a segment was begun");
        (*number, segment)
    }

    /// An empty frame that will stand behind so many bytes which are not written yet.
    pub(crate) fn frame(&mut self, unwritten_bytes: usize) -> Frame {
        let (number, segment) = self.last();
        let origin = at(number, segment.len_bytes + unwritten_bytes as u64);
        Frame::new(FRAME_HEAD_BYTES, origin)
    }

    /// Begins a new segment if the last one is long enough. All of the last one must be synced.
    ///
    /// # Errors
    /// The medium failed or is full.
    pub(crate) fn rotate(&mut self) -> io::Result<()> {
        if self.is_long() { self.begin() } else { Ok(()) }
    }

    /// Whether the last segment is long enough.
    pub(crate) fn is_long(&mut self) -> bool {
        let segment_bytes_max = self.segment_bytes_max;
        self.last().1.len_bytes >= segment_bytes_max
    }

    /// Finishes a frame; `None` if nothing is in it.
    pub(crate) fn seal(&self, mut frame: Frame) -> Option<Vec<u8>> {
        let len = frame.bytes.len() - FRAME_HEAD_BYTES;
        if len == 0 {
            return None;
        }
        frame.bytes[..4].copy_from_slice(&FRAME_MAGIC);
        frame.bytes[4..8].copy_from_slice(&u32::try_from(len).expect("a frame is short").to_le_bytes());
        frame.bytes[12..20].copy_from_slice(&self.synced_to.to_le_bytes());
        let checksum = crc32fast::hash(&frame.bytes[12..]);
        frame.bytes[8..12].copy_from_slice(&checksum.to_le_bytes());
        Some(frame.bytes)
    }

    /// Writes frames at the end. They can be written again after an error.
    ///
    /// # Errors
    /// The medium failed or is full: nothing counts as written.
    pub(crate) fn append(&mut self, frames: &[u8]) -> io::Result<()> {
        let (_, segment) = self.last();
        segment.file.write_at(frames, segment.len_bytes)?;
        segment.len_bytes += frames.len() as u64;
        Ok(())
    }

    /// The file to sync, and how far everything is safe once that is done.
    pub(crate) fn next_sync(&mut self) -> (Arc<dyn MediumFile>, At) {
        let (number, segment) = self.last();
        (segment.file.clone(), at(number, segment.len_bytes))
    }

    /// A sync was successful.
    pub(crate) fn note_synced(&mut self, to: At) {
        self.synced_to = self.synced_to.max(to);
    }

    /// Bytes of all segments.
    pub(crate) fn len_bytes(&self) -> u64 {
        let retired = self.retired.iter().map(|(_, segment, _)| segment);
        self.files.values().chain(retired).map(|segment| segment.len_bytes).sum()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.files.len()
    }

    /// The oldest segment, unless it is the one that is written: its number, its file and how long it is.
    pub(crate) fn oldest(&self) -> Option<(u32, Arc<dyn MediumFile>, u64)> {
        let (number, segment) = self.files.iter().next().filter(|_| self.files.len() > 1)?;
        Some((*number, segment.file.clone(), segment.len_bytes))
    }

    /// Nothing is needed any more of the oldest segment, once all that is written now is synced.
    pub(crate) fn retire_oldest(&mut self) {
        let (last, segment) = self.last();
        let end = at(last, segment.len_bytes);
        if let Some((number, segment)) = self.files.pop_first() {
            self.retired.push_back((number, segment, end));
        }
    }

    /// Segments that wait for a sync to be removed.
    pub(crate) fn retired_len(&self) -> usize {
        self.retired.len()
    }

    /// Removes what can go.
    ///
    /// # Errors
    /// The medium failed.
    pub(crate) fn remove_retired(&mut self) -> io::Result<()> {
        while let Some((number, ..)) = self.retired.front().filter(|(_, _, end)| *end <= self.synced_to) {
            self.medium.remove(&name_of(*number))?;
            self.retired.pop_front();
        }
        Ok(())
    }

    /// Names of the segments that can be removed once everything up to this place is synced.
    pub(crate) fn removable(&self, to: At) -> Vec<String> {
        let retired = self.retired.iter().take_while(|(_, _, end)| *end <= to);
        retired.map(|(number, ..)| name_of(*number)).collect()
    }

    /// A sync was successful, and what [was to be removed](Self::removable) then is.
    pub(crate) fn note_removed(&mut self, to: At) {
        self.note_synced(to);
        while self.retired.front().is_some_and(|(_, _, end)| *end <= to) {
            self.retired.pop_front();
        }
    }

    /// Everything before it survives a power failure.
    pub(crate) fn synced_to(&self) -> At {
        self.synced_to
    }

    /// Bytes of the segment that is written which are not synced.
    pub(crate) fn unsynced_bytes(&mut self) -> u64 {
        let synced_to = self.synced_to;
        let (number, segment) = self.last();
        if number_at(synced_to) == number {
            segment.len_bytes - offset_at(synced_to)
        } else {
            segment.len_bytes
        }
    }

    /// Where everything is.
    pub(crate) fn medium(&self) -> Arc<dyn Medium> {
        self.medium.clone()
    }

    /// The file that holds a record; `None` if it is not written.
    pub(crate) fn file(&self, spot: Spot) -> Option<Arc<dyn MediumFile>> {
        let segment = self.files.get(&number_at(spot.at)).filter(|_| spot.is_written())?;
        let end = offset_at(spot.at) + u64::from(spot.bytes);
        (end <= segment.len_bytes).then(|| segment.file.clone())
    }
}

/// Segments that are read in advance when a store is opened.
const READ_AHEAD: usize = 2;

/// A segment's number, and its file with all that is in it.
type Contents = (u32, io::Result<(Arc<dyn MediumFile>, Vec<u8>)>);

fn read_all(medium: &dyn Medium, numbers: Vec<u32>, to: &crossbeam_channel::Sender<Contents>) {
    for number in numbers {
        let read = medium.open(&name_of(number)).and_then(|file| {
            let mut bytes = vec![0; usize::try_from(file.len_bytes()?).expect("a segment fits into memory")];
            file.read_at(&mut bytes, 0)?;
            Ok((file, bytes))
        });
        if to.send((number, read)).is_err() {
            return; // an error ended the opening
        }
    }
}

enum Header {
    Known,
    Format(u32),
    Torn,
}

fn header_of(bytes: &[u8]) -> Header {
    let word =
        |from: usize| bytes.get(from..from + 4).and_then(|word| word.try_into().ok()).map(u32::from_le_bytes);
    match (bytes.starts_with(&MAGIC), word(8), word(12)) {
        (true, Some(FORMAT), Some(_)) => Header::Known,
        (true, Some(format), Some(_)) if bytes.len() > HEADER_BYTES as usize => Header::Format(format),
        _ => Header::Torn,
    }
}

/// The frame that begins here: its records, and how far all was synced before it.
fn frame_at(bytes: &[u8]) -> Option<(&[u8], At)> {
    let head = bytes.get(..FRAME_HEAD_BYTES)?;
    let word = |from: usize| u32::from_le_bytes(head[from..from + 4].try_into().expect("four bytes"));
    let len = usize::try_from(word(4)).ok()?;
    let whole = bytes.get(..FRAME_HEAD_BYTES.checked_add(len)?)?;
    let intact = head.starts_with(&FRAME_MAGIC) && crc32fast::hash(&whole[12..]) == word(8);
    let synced_to = u64::from_le_bytes(head[12..20].try_into().expect("eight bytes"));
    intact.then_some((&whole[FRAME_HEAD_BYTES..], synced_to))
}

fn next_frame(bytes: &[u8], from: usize) -> Option<usize> {
    let starts = bytes.get(from..)?.windows(FRAME_MAGIC.len()).enumerate();
    let mut starts = starts.filter(|(_, window)| *window == FRAME_MAGIC).map(|(start, _)| from + start);
    starts.find(|start| frame_at(&bytes[*start..]).is_some())
}

/// A frame of a segment that is read by parts.
pub(crate) struct ReadFrame {
    pub(crate) records: Vec<u8>,
    /// Where the first record stands.
    pub(crate) origin: At,
    /// Where the next frame begins.
    pub(crate) next: u64,
}

/// The next frame of a segment at or behind an offset that can be read; `None` if there is none. What a damaged frame
/// says of its length is not believed: all behind it is searched.
///
/// # Errors
/// The medium failed.
pub(crate) fn read_frame(
    number: u32,
    file: &dyn MediumFile,
    from: u64,
    len_bytes: u64,
) -> io::Result<Option<ReadFrame>> {
    let mut head = [0; FRAME_HEAD_BYTES];
    if from + head.len() as u64 > len_bytes {
        return Ok(None);
    }
    file.read_at(&mut head, from)?;
    let len = u32::from_le_bytes(head[4..8].try_into().expect("four bytes"));
    let end = from + head.len() as u64 + u64::from(len);
    let is_head = head.starts_with(&FRAME_MAGIC) && end <= len_bytes;
    let read_to = |end: u64| {
        let mut bytes = vec![0; usize::try_from(end - from).map_err(|_| io::ErrorKind::OutOfMemory)?];
        file.read_at(&mut bytes, from).map(|()| bytes)
    };
    let frame = |bytes: &[u8], start: usize| {
        let (records, _) = frame_at(&bytes[start..])?;
        let begin = from + (start + FRAME_HEAD_BYTES) as u64;
        let next = begin + records.len() as u64;
        Some(ReadFrame { records: records.to_vec(), origin: at(number, begin), next })
    };
    if is_head && let Some(whole) = frame(&read_to(end)?, 0) {
        return Ok(Some(whole));
    }
    let rest = read_to(len_bytes)?;
    Ok(next_frame(&rest, 1).and_then(|start| frame(&rest, start)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::durable::simulated::SimulatedMedium;

    #[test]
    fn the_numbers_of_segments_end_with_a_sentence() {
        let medium: Arc<dyn Medium> = Arc::new(SimulatedMedium::new());
        let mut segments = Segments::fresh(medium.clone(), NUMBER_MAX, 1).expect("the last one");
        assert!(segments.begin().expect_err("there is no other").to_string().contains("no number is left"));
        medium.create(&name_of(NUMBER_MAX + 1)).expect("there is room");
        assert!(numbers(&*medium).expect_err("it cannot be ours").to_string().contains("higher than any"));
    }
}
