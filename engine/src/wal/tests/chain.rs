//! Several files: each is found through the one after it, and none can be missing, exchanged or in surplus.

use super::*;

/// Three files with one group of two records each, the last one witnessed. Gives the end of each.
fn three() -> (SimVfs, Vec<u64>) {
    let vfs = disk();
    let mut previous = None;
    let mut ends = Vec::new();
    for number in 1..=3 {
        let mut writer = create(&vfs, number, previous);
        append(&mut writer, number * 2 - 1, &[30, 600]).unwrap();
        writer.sync().unwrap();
        if number == 3 {
            witness(&mut writer, 7);
        }
        previous = Some(writer.as_previous());
        ends.push(writer.written_bytes());
    }
    assert_eq!(ends[0], end_of(512, &[30, 600]));
    (vfs, ends)
}

const ALL: [(u64, usize); 6] = [(1, 30), (2, 600), (3, 30), (4, 600), (5, 30), (6, 600)];

#[test]
fn the_files_are_read_in_order_from_the_floor_to_the_head() {
    let (vfs, _) = three();
    for floor in 1..=3 {
        let found = recover_from(&vfs, floor, Some(3), false);
        let skipped = usize::try_from(floor - 1).unwrap();
        assert_eq!(found.records, ALL[skipped * 2..], "floor {floor}");
        assert!(found.is_clean());
        assert_eq!(found.recovery().durable, Some(seq(6)));
        let numbers: Vec<u64> = found.recovery().files.iter().map(|file| file.number).collect();
        assert_eq!(numbers, (floor..=3).collect::<Vec<_>>());
        assert_eq!(found.recovery().strays.len(), skipped, "files below the floor");
    }
    assert_eq!(recover_from(&vfs, 4, Some(3), false).records, [], "all of it was truncated");
    assert_eq!(recover_from(&vfs, 0, None, false).records, [], "no file came into use");
}

#[test]
fn a_missing_file_is_corruption_and_a_reader_gets_what_lies_before_it() {
    for missing in 1..=3 {
        let (vfs, _) = three();
        vfs.remove_raw(&path_of(missing)).unwrap();
        let found = recover_from(&vfs, 1, Some(3), false);
        assert!(found.is_corrupt() && found.records.is_empty(), "{missing}");
        let message = found.result.unwrap_err().to_string();
        assert!(message.contains(path_of(missing).to_str().unwrap()), "{message}");
        let reader = recover_from(&vfs, 1, Some(3), true);
        let before = usize::try_from(missing - 1).unwrap();
        assert_eq!(reader.records, ALL[..before * 2], "{missing}");
        assert!(reader.recovery().damage.is_some());
    }
}

#[test]
fn an_empty_file_is_corruption_too() {
    for empty in 1..=3 {
        let (vfs, _) = three();
        vfs.truncate_raw(&path_of(empty), 0).unwrap();
        assert!(recover_from(&vfs, 1, Some(3), false).is_corrupt(), "{empty}");
        let reader = recover_from(&vfs, 1, Some(3), true);
        let before = usize::try_from(empty - 1).unwrap();
        assert_eq!(reader.records, ALL[..before * 2], "{empty}");
    }
}

#[test]
fn damage_before_an_end_that_the_next_file_states_is_corruption() {
    let (vfs, ends) = three();
    // No witness in file 1: only file 2 proves its group.
    for offset in (512..ends[0]).step_by(61) {
        vfs.flip_bit(&path_of(1), offset, 3).unwrap();
        let found = recover_from(&vfs, 1, Some(3), false);
        assert!(found.is_corrupt() && found.records.is_empty(), "byte {offset}");
        let message = found.result.unwrap_err().to_string();
        assert!(offset < 512 || message.contains("the next log file says"), "{message}");
        vfs.flip_bit(&path_of(1), offset, 3).unwrap();
    }
    let whole = vfs.read_raw(&path_of(2)).unwrap();
    for len in [512, 513, ends[1] - 1] {
        vfs.write_raw(&path_of(2), &whole[..usize::try_from(len).unwrap()]).unwrap();
        let found = recover_from(&vfs, 1, Some(3), false);
        assert!(found.is_corrupt(), "{len}");
        assert_eq!(found.records, ALL[..2], "{len}");
    }
}

#[test]
fn what_lies_behind_a_stated_end_does_not_count() {
    let (vfs, ends) = three();
    vfs.truncate_raw(&path_of(1), ends[0] + 4096).unwrap();
    vfs.flip_bit(&path_of(1), ends[0] + 9, 5).unwrap();
    let found = recover_from(&vfs, 1, Some(3), false);
    assert_eq!(found.records, ALL);
    assert!(found.is_clean());
}

#[test]
fn an_end_inside_a_group_is_corruption() {
    let vfs = disk();
    let mut first = create(&vfs, 1, None);
    append(&mut first, 1, &[30, 600]).unwrap();
    first.sync().unwrap();
    let end_bytes = first.written_bytes() - 512;
    assert_eq!(recover_from(&vfs, 1, Some(1), false).recovery().durable, None);
    create(&vfs, 2, Some(first.as_previous()));
    let followed = recover_from(&vfs, 1, Some(2), false);
    assert_eq!(followed.recovery().durable, Some(seq(2)), "the next file proves it");
    vfs.remove_raw(&path_of(2)).unwrap();
    create(&vfs, 2, Some(PreviousFile { end_bytes, ..first.as_previous() }));
    assert!(recover_from(&vfs, 1, Some(2), false).is_corrupt());
}

#[test]
fn an_older_copy_of_a_file_is_seen() {
    let vfs = disk();
    let mut first = create(&vfs, 1, None);
    append(&mut first, 1, &[30]).unwrap();
    first.sync().unwrap();
    let older = vfs.read_raw(&path_of(1)).unwrap();
    append(&mut first, 2, &[30]).unwrap();
    first.sync().unwrap();
    let mut second = create(&vfs, 2, Some(first.as_previous()));
    append(&mut second, 3, &[30]).unwrap();
    second.sync().unwrap();
    assert_eq!(recover_from(&vfs, 1, Some(2), false).records, [(1, 30), (2, 30), (3, 30)]);
    vfs.write_raw(&path_of(1), &older).unwrap();
    let found = recover_from(&vfs, 1, Some(2), false);
    assert!(found.is_corrupt());
    assert_eq!(found.records, [(1, 30)]);
}

#[test]
fn a_file_that_never_came_into_use_is_a_stray() {
    let (vfs, ends) = three();
    let previous = PreviousFile { number: 3, file_id: id_of(3), end_bytes: ends[2] };
    let mut stray = create(&vfs, 4, Some(previous));
    vfs.write_raw(&Path::new(FOLDER).join("notes.txt"), b"not ours").unwrap();
    vfs.write_raw(&path_of(5), b"").unwrap();
    let found = recover_from(&vfs, 1, Some(3), false);
    assert_eq!(found.records, ALL);
    assert_eq!(found.recovery().strays, [path_of(4), path_of(5)]);
    // Records get into a file only after the manifest names it: here an edit is missing.
    append(&mut stray, 7, &[30]).unwrap();
    stray.sync().unwrap();
    assert!(recover_from(&vfs, 1, Some(3), false).is_corrupt());
    let reader = recover_from(&vfs, 1, Some(3), true);
    assert_eq!(reader.records, ALL);
    assert!(reader.recovery().damage.is_some());
}

#[test]
fn records_of_a_file_must_follow_those_of_the_file_before() {
    let vfs = disk();
    let mut first = create(&vfs, 1, None);
    append(&mut first, 1, &[30]).unwrap();
    first.sync().unwrap();
    let mut second = create(&vfs, 2, Some(first.as_previous()));
    append(&mut second, 3, &[30]).unwrap();
    second.sync().unwrap();
    let found = recover_from(&vfs, 1, Some(2), false);
    assert!(found.is_corrupt());
    assert_eq!(found.records, [(1, 30)]);
}

#[test]
fn a_file_that_names_itself_or_a_later_one_ends_the_walk() {
    for number in [2, 3, 7, u64::MAX] {
        let vfs = disk();
        let previous = PreviousFile { number, file_id: id_of(number), end_bytes: 512 };
        let mut writer = create(&vfs, 2, Some(previous));
        append(&mut writer, 1, &[30]).unwrap();
        writer.sync().unwrap();
        assert!(recover_from(&vfs, 1, Some(2), false).is_corrupt(), "{number}");
    }
}

#[test]
fn a_cursor_takes_whole_groups_that_are_durable_and_nothing_else() {
    let vfs = disk();
    let mut writer = create(&vfs, 1, None);
    append(&mut writer, 1, &[5, 700, 9]).unwrap();
    writer.sync().unwrap();
    witness(&mut writer, 4);
    append(&mut writer, 4, &[8]).unwrap();
    let id = (1, id_of(1));
    let mut cursor = LogCursor::open(&vfs, &path_of(1), id, DATABASE).unwrap().unwrap();
    cursor.refresh().unwrap();
    // A group is one: while a flush freezes, the durable sequence may lie in its middle.
    let early = cursor.step(Sequence::ZERO, seq(2)).unwrap();
    assert!(matches!(early, CursorStep::NotDurable));
    let CursorStep::Group(mut group) = cursor.step(seq(1), seq(3)).unwrap() else {
        panic!("the first group is durable")
    };
    let mut lens = Vec::new();
    while let Some(record) = group.peek().unwrap() {
        let len = record.bytes.len();
        lens.push((record.sequence, len));
        group.take(len);
    }
    assert_eq!(lens, [(seq(1), 5), (seq(2), 700), (seq(3), 9)]);
    assert!(matches!(cursor.step(seq(3), seq(3)).unwrap(), CursorStep::NotDurable));
    assert!(matches!(cursor.step(seq(3), seq(4)).unwrap(), CursorStep::Group(_)));
    assert!(matches!(cursor.step(seq(4), seq(9)).unwrap(), CursorStep::Nothing(_)));
}
