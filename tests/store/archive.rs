//! The list of the archive's files, on both stores: a file is deleted only where nobody has let it take the place of
//! rows, and takes that place only where nobody deletes it.

use floodmark::store::archive::{ArchiveFile, FileState};

use crate::{backend::Backend, contract::contract};

contract!(a_file_that_leaves_is_never_kept_and_one_that_is_kept_never_leaves);

async fn a_file_that_leaves_is_never_kept_and_one_that_is_kept_never_leaves(backend: Backend) {
    let list = backend.open().await.archive;
    let file = |path: &str, state| ArchiveFile {
        path: path.to_owned(),
        day: "2026-11-01".to_owned(),
        kind: "purchase".to_owned(),
        state,
        rows: 3,
        bytes: 100,
        times: (1_793_491_200_000, 1_793_491_260_000),
        digest: "00".to_owned(),
    };
    let (slow, quick) = ("date=2026-11-01/slow.parquet", "date=2026-11-01/quick.parquet");
    for path in [slow, quick] {
        list.note_file(&file(path, FileState::Writing)).await.unwrap();
    }
    // One process has written and checked its file before another one looks at what is left over.
    assert!(list.check_file(&file(quick, FileState::Checked)).await.unwrap());
    assert!(!list.leave_file(quick, FileState::Writing).await.unwrap(), "it is no longer written");
    list.forget_file(quick).await.unwrap();
    // The other file was halted in the midst, and is taken for one that was left over.
    assert!(list.leave_file(slow, FileState::Writing).await.unwrap());
    assert!(!list.check_file(&file(slow, FileState::Checked)).await.unwrap(), "it is deleted");
    list.forget_file(slow).await.unwrap();
    let left = list.archive_files(None).await.unwrap();
    assert_eq!(left, [file(quick, FileState::Checked)], "what did not leave stays on the list");
    assert!(!list.check_file(&file(slow, FileState::Checked)).await.unwrap());
    assert_eq!(list.archive_files(None).await.unwrap().len(), 1, "nothing comes back");
}
