//! Badger's protobuf messages (`pb/pb.proto`; `badgerpb2`, `badgerpb3` and `badgerpb4` agree in these).

use prost::Message;

/// Tables that were made and deleted, all or none of them.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ManifestChangeSet {
    #[prost(message, repeated, tag = "1")]
    pub(super) changes: Vec<ManifestChange>,
}

/// One table made or deleted.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ManifestChange {
    #[prost(uint64, tag = "1")]
    pub(super) id: u64,
    /// 0: made; 1: deleted.
    #[prost(uint32, tag = "2")]
    pub(super) operation: u32,
    #[prost(uint32, tag = "3")]
    pub(super) level: u32,
    #[prost(uint64, tag = "4")]
    pub(super) key_id: u64,
    #[prost(uint32, tag = "5")]
    pub(super) encryption: u32,
    #[prost(uint32, tag = "6")]
    pub(super) compression: u32,
}

/// Of an index or a block.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Checksum {
    /// 0: CRC-32C; 1: XXH64.
    #[prost(uint32, tag = "1")]
    pub(super) algorithm: u32,
    #[prost(uint64, tag = "2")]
    pub(super) sum: u64,
}

/// Version 2's index of a table; its Bloom filter (2) and estimated size (3) are passed over.
#[derive(Clone, PartialEq, Message)]
pub(super) struct TableIndex {
    #[prost(message, repeated, tag = "1")]
    pub(super) offsets: Vec<BlockOffset>,
}

/// Where a block lies, and its first key.
#[derive(Clone, PartialEq, Message)]
pub(super) struct BlockOffset {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) key: Vec<u8>,
    #[prost(uint32, tag = "2")]
    pub(super) offset: u32,
    #[prost(uint32, tag = "3")]
    pub(super) len: u32,
}

/// A key that files are encrypted with, itself encrypted with the master key.
#[derive(Clone, PartialEq, Message)]
pub(super) struct DataKey {
    #[prost(uint64, tag = "1")]
    pub(super) key_id: u64,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) data: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    pub(super) iv: Vec<u8>,
    #[prost(int64, tag = "4")]
    pub(super) created_at: i64,
}
