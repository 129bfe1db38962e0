//! What is written is packed by gzip or zstd, or as it is.
//!
//! Both formats let several packed members follow each other in one file. Each slice of an export is one, so a
//! file that was cut is gone on with behind its last whole member.

use std::{io::Write, mem};

use flate2::write::GzEncoder;

/// How a file is packed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Packing {
    /// As it is.
    #[default]
    Plain,
    /// gzip, which everybody reads.
    Gzip,
    /// Zstandard, which is faster and smaller.
    Zstd,
}

impl Packing {
    /// The names of all that pack.
    pub const NAMES: &'static str = "gzip or zstd";

    /// The packing of this name.
    pub fn named(name: &str) -> Option<Packing> {
        match name {
            "gzip" => Some(Packing::Gzip),
            "zstd" => Some(Packing::Zstd),
            _ => None,
        }
    }

    /// What a file's name ends in, with a dot.
    pub fn ending(self) -> &'static str {
        match self {
            Packing::Plain => "",
            Packing::Gzip => ".gz",
            Packing::Zstd => ".zst",
        }
    }

    /// The media type of what is packed; `None` for what is as it is.
    pub fn media_type(self) -> Option<&'static str> {
        match self {
            Packing::Plain => None,
            Packing::Gzip => Some("application/gzip"),
            Packing::Zstd => Some("application/zstd"),
        }
    }
}

/// A level that costs little and saves most.
const GZIP_LEVEL: u32 = 4;
/// Likewise.
const ZSTD_LEVEL: i32 = 1;

/// Packed bytes in the making.
pub struct Packed {
    member: Member,
    /// What is written next.
    scratch: Vec<u8>,
    /// Whether something was written to the member.
    is_begun: bool,
}

enum Member {
    Plain(Vec<u8>),
    Gzip(GzEncoder<Vec<u8>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

impl Member {
    fn new(packing: Packing) -> Member {
        match packing {
            Packing::Plain => Member::Plain(Vec::new()),
            Packing::Gzip => {
                Member::Gzip(GzEncoder::new(Vec::new(), flate2::Compression::new(GZIP_LEVEL)))
            }
            Packing::Zstd => Member::Zstd(
                zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL)
                    .expect("the level is one that zstd has"),
            ),
        }
    }

    fn packing(&self) -> Packing {
        match self {
            Member::Plain(_) => Packing::Plain,
            Member::Gzip(_) => Packing::Gzip,
            Member::Zstd(_) => Packing::Zstd,
        }
    }
}

impl Packed {
    /// Nothing yet.
    pub fn new(packing: Packing) -> Packed {
        Packed { member: Member::new(packing), scratch: Vec::new(), is_begun: false }
    }

    /// Adds what `write` appends.
    pub fn write(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.is_begun = true;
        self.scratch.clear();
        let done = match &mut self.member {
            Member::Plain(out) => {
                write(out);
                Ok(())
            }
            Member::Gzip(out) => {
                write(&mut self.scratch);
                out.write_all(&self.scratch)
            }
            Member::Zstd(out) => {
                write(&mut self.scratch);
                out.write_all(&self.scratch)
            }
        };
        done.expect("memory can be written to");
    }

    /// What is packed by now, where that is at least so much.
    pub fn take(&mut self, least: usize) -> Option<Vec<u8>> {
        let out = match &mut self.member {
            Member::Plain(out) => out,
            Member::Gzip(out) => out.get_mut(),
            Member::Zstd(out) => out.get_mut(),
        };
        (out.len() >= least).then(|| mem::take(out))
    }

    /// Ends the member, and gives what is left of it.
    pub fn end_member(&mut self) -> Vec<u8> {
        if !mem::take(&mut self.is_begun) {
            return Vec::new();
        }
        let next = Member::new(self.member.packing());
        match mem::replace(&mut self.member, next) {
            Member::Plain(out) => out,
            Member::Gzip(out) => out.finish().expect("memory can be written to"),
            Member::Zstd(out) => out.finish().expect("memory can be written to"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn members_are_one_file() {
        for packing in [Packing::Plain, Packing::Gzip, Packing::Zstd] {
            let mut packed = Packed::new(packing);
            let mut file = packed.end_member();
            assert_eq!(file, b"", "nothing is no member");
            for n in 0..3 {
                packed.write(|out| out.extend_from_slice(format!("line {n}\n").as_bytes()));
                file.extend(packed.take(0).unwrap());
                file.extend(packed.end_member());
            }
            let mut text = String::new();
            match packing {
                Packing::Plain => text = String::from_utf8(file).unwrap(),
                Packing::Gzip => {
                    flate2::read::MultiGzDecoder::new(&*file).read_to_string(&mut text).unwrap();
                }
                Packing::Zstd => {
                    text = String::from_utf8(zstd::decode_all(&*file).unwrap()).unwrap();
                }
            }
            assert_eq!(text, "line 0\nline 1\nline 2\n");
        }
    }
}
