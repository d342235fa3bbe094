// SPDX-License-Identifier: MIT OR Apache-2.0
//! Policies by their bytes: makes elements, and tells which bytes of a policy are its frame.

use std::ops::Range;

/// Makes a policy, element by element.
#[derive(Clone, Default)]
pub struct Maker(pub Vec<u8>);

impl Maker {
    fn tag(mut self, name: &str) -> Self {
        if !name.is_empty() {
            self.0.push(4);
            self.0.extend(u16::try_from(name.len() + 1).unwrap().to_le_bytes());
            self.0.extend(name.as_bytes());
            self.0.push(0);
        }
        self
    }

    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    pub fn u8(self, value: u8) -> Self {
        self.bytes(&[0, value])
    }

    pub fn u16(self, value: u16) -> Self {
        self.bytes(&[1]).bytes(&value.to_le_bytes())
    }

    pub fn u32(self, name: &str, value: u32) -> Self {
        self.tag(name).bytes(&[2]).bytes(&value.to_le_bytes())
    }

    pub fn u64(self, value: u64) -> Self {
        self.bytes(&[3]).bytes(&value.to_le_bytes())
    }

    pub fn string(self, name: &str, text: &[u8]) -> Self {
        let len = u16::try_from(text.len() + 1).unwrap();
        self.tag(name).bytes(&[5]).bytes(&len.to_le_bytes()).bytes(text).bytes(&[0])
    }

    pub fn blob(self, name: &str, data: &[u8]) -> Self {
        self.tag(name).bytes(&[6]).bytes(&u32::try_from(data.len()).unwrap().to_le_bytes()).bytes(data)
    }

    pub fn open(self, name: &str) -> Self {
        self.tag(name).bytes(&[7])
    }

    pub fn close(self) -> Self {
        self.bytes(&[8])
    }

    pub fn array(self, name: &str, count: u16) -> Self {
        self.tag(name).bytes(&[11]).bytes(&count.to_le_bytes())
    }

    pub fn end_array(self) -> Self {
        self.bytes(&[12])
    }
}

/// Tables of states, to be made as a test wants them.
#[derive(Clone)]
pub struct Tables {
    pub flags: u16,
    pub accept: Vec<u32>,
    pub accept2: Vec<u32>,
    pub base: Vec<u32>,
    pub default: Vec<u32>,
    pub next: Vec<u32>,
    pub check: Vec<u32>,
}

impl Tables {
    /// Makes tables of this many states, in which nothing leads anywhere.
    pub fn new(states: usize) -> Self {
        let (zeros, moves) = (vec![0; states], vec![0; 256]);
        Self {
            flags: 0,
            accept: zeros.clone(),
            accept2: zeros.clone(),
            base: zeros.clone(),
            default: zeros,
            next: moves.clone(),
            check: moves,
        }
    }

    /// Adds a transition of a state; its base must be 0.
    pub fn lead(mut self, from: u32, character: u8, to: u32) -> Self {
        self.check[usize::from(character)] = from;
        self.next[usize::from(character)] = to;
        self
    }

    pub fn blob(&self) -> Vec<u8> {
        let mut blob = vec![];
        let word = |blob: &mut Vec<u8>, value: u32| blob.extend(value.to_be_bytes());
        word(&mut blob, 0x1b5e_783d);
        word(&mut blob, 24);
        word(&mut blob, 0);
        blob.extend(self.flags.to_be_bytes());
        blob.extend(b"notflex\0\0\0");
        let tables = [
            (1, &self.accept),
            (7, &self.accept2),
            (2, &self.base),
            (4, &self.default),
            (8, &self.next),
            (3, &self.check),
        ];
        for (id, entries) in tables.into_iter().filter(|(_, entries)| !entries.is_empty()) {
            word(&mut blob, id << 16 | 4);
            word(&mut blob, 0);
            word(&mut blob, u32::try_from(entries.len()).unwrap());
            entries.iter().for_each(|entry| word(&mut blob, *entry));
            blob.resize(blob.len().next_multiple_of(8), 0);
        }
        blob
    }
}

/// Returns the places of all bytes that frame a policy: names, kinds and lengths of elements, and of tables of states the
/// parts of headers that mean something.
pub fn frame(policy: &[u8]) -> Vec<usize> {
    let mut places = vec![];
    let mut at = 0;
    let mut put = |range: Range<usize>| places.extend(range);
    let u16_at = |at: usize| usize::from(u16::from_le_bytes([policy[at], policy[at + 1]]));
    while at < policy.len() {
        let kind = policy[at];
        put(at..at + 1);
        at += 1;
        match kind {
            0 => at += 1,
            1 => at += 2,
            2 => at += 4,
            3 => at += 8,
            4 => {
                let len = u16_at(at);
                put(at..at + 2 + len);
                at += 2 + len;
            }
            5 => {
                let len = u16_at(at);
                put(at..at + 2);
                at += 2 + len;
                put(at - 1..at);
            }
            6 => {
                let len = u32::from_le_bytes(policy[at..at + 4].try_into().unwrap()) as usize;
                put(at..at + 4);
                at += 4;
                table_headers(policy, at..at + len, &mut put);
                at += len;
            }
            11 => {
                put(at..at + 2);
                at += 2;
            }
            7 | 8 | 12 => {}
            other => panic!("kind {other} at {at}"),
        }
    }
    places
}

fn table_headers(policy: &[u8], blob: Range<usize>, put: &mut impl FnMut(Range<usize>)) {
    let be32 = |at: usize| u32::from_be_bytes(policy[at..at + 4].try_into().unwrap()) as usize;
    let start = blob.start + blob.len() % 8;
    // Magic number, length of the header, and those flags none of which is known.
    put(start..start + 8);
    put(start + 12..start + 13);
    let mut at = start + be32(start + 4);
    while at < blob.end {
        let (width, entries) = (usize::from(policy[at + 3]), be32(at + 8));
        put(at..at + 4);
        put(at + 8..at + 12);
        at += (12 + width * entries).next_multiple_of(8);
    }
}
