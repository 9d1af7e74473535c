//! Keys and values against their own description.

use std::collections::HashSet;

use super::*;

fn objects(spaced: bool, digits: usize, keys: &Sizes, values: &Sizes) -> Objects {
    Objects::new("", spaced, digits, keys, values)
}

fn value(objects: &Objects, key: Key, value_bytes: u32) -> Vec<u8> {
    let mut out = Outbox::default();
    objects.put_value(key, value_bytes, &mut out);
    assert_eq!(out.len(), value_bytes as usize);
    out.flatten()
}

fn check(objects: &Objects, key: Key, value: &[u8], pieces: usize) -> Option<usize> {
    let mut check = Check::new(key, value.len() as u32);
    for piece in value.chunks(pieces.max(1)) {
        check.read(objects, piece);
    }
    check.wrong_at()
}

#[test]
fn keys_are_plain_text_of_their_length_and_all_different() {
    let sizes = Sizes::range(9, 250);
    let keys = Objects::new(
        "run-",
        false,
        index_digits(10_000),
        &sizes,
        &Sizes::fixed(1),
    );
    let mut seen = HashSet::new();
    for index in 0..10_000 {
        for kind in [Kind::Value, Kind::Counter] {
            let key = Key::new(0, index);
            let mut bytes = Vec::new();
            keys.put_key(key, kind, keys.key_bytes(key), &mut bytes);
            assert_eq!(bytes.len(), usize::from(keys.key_bytes(key)));
            assert!(bytes.starts_with(b"run-"));
            assert!(bytes.iter().all(u8::is_ascii_graphic), "{bytes:?}");
            assert!(seen.insert(bytes), "{index} comes twice");
        }
    }
}

#[test]
fn the_keys_of_a_space_hold_its_number() {
    let keys = objects(true, 10, &Sizes::fixed(16), &Sizes::fixed(1));
    let name = |space, index| keys.name(Key::new(space, index));
    assert_eq!(name(0, 0), "0000000000000000");
    assert_eq!(name(10_000_000, KEYS_MAX - 1), "989680ffffffffff");
    let key = Key::new(5, 7);
    assert_eq!((key.space(), key.index()), (5, 7));
}

#[test]
fn digits_are_as_many_as_the_last_key_needs() {
    for (keys, digits) in [
        (0, 1),
        (1, 1),
        (16, 1),
        (17, 2),
        (10_000, 4),
        (65_536, 4),
        (KEYS_MAX, 10),
    ] {
        assert_eq!(index_digits(keys), digits, "{keys}");
    }
}

#[test]
fn a_value_passes_its_own_check_however_it_is_cut_and_no_other() {
    let objects = objects(false, 4, &Sizes::fixed(64), &Sizes::fixed(1024));
    let (key, other) = (Key::new(0, 1), Key::new(0, 2));
    for bytes in [0, 1, 8, 11, 12, 13, 1024, 70_000, 3_000_000] {
        let value = value(&objects, key, bytes);
        for pieces in [usize::MAX, 65_536, 1000] {
            assert_eq!(
                check(&objects, key, &value, pieces),
                None,
                "{bytes} by {pieces}"
            );
        }
        if bytes < 2000 {
            assert_eq!(
                check(&objects, key, &value, 1),
                None,
                "{bytes} byte by byte"
            );
        }
        if bytes > 0 {
            assert!(
                check(&objects, other, &value, usize::MAX).is_some(),
                "{bytes}"
            );
        }
    }
}

#[test]
fn any_changed_byte_is_found_at_its_place() {
    let objects = objects(false, 4, &Sizes::fixed(64), &Sizes::fixed(1024));
    let key = Key::new(0, 77);
    let right = value(&objects, key, 300);
    for at in 0..300 {
        let mut wrong = right.clone();
        wrong[at] ^= 0x10;
        for pieces in [usize::MAX, 7] {
            assert_eq!(check(&objects, key, &wrong, pieces), Some(at));
        }
    }
    // A value that was cut or made longer does not have the length it says.
    assert_eq!(check(&objects, key, &right[..299], usize::MAX), Some(8));
}

#[test]
fn large_values_leave_from_the_shared_region() {
    let objects = objects(false, 4, &Sizes::fixed(64), &Sizes::fixed(1024));
    let mut out = Outbox::default();
    objects.put_value(Key::new(0, 3), 1_000_000, &mut out);
    assert!(out.copied().len() < 100, "{}", out.copied().len());
    assert!(!out.inserts().is_empty());
    out.clear();
    objects.put_value(Key::new(0, 3), 1024, &mut out);
    assert!(out.inserts().is_empty());
}

#[test]
fn key_and_value_lengths_are_independent() {
    let objects = objects(false, 4, &Sizes::range(64, 163), &Sizes::range(1000, 1099));
    let pairs: HashSet<(u16, u32)> = (0..5000)
        .map(|index| Key::new(0, index))
        .map(|key| (objects.key_bytes(key), objects.value_bytes(key)))
        .collect();
    assert!(pairs.len() > 3500, "{}", pairs.len());
}
